import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refusal } from '../refusal.ts'
import { modelsOfCreate, parsedMember, readClientEvent, textMember } from './client-event.ts'
import { closeReason, passedCloseCode } from './close-code.ts'
import { RecentIds } from './recent-ids.ts'
import { readOfferedProtocols } from './subprotocols.ts'

test('a browser’s key is taken out of the offered subprotocols, and nothing of the account goes on', () => {
  assert.deepEqual(
    readOfferedProtocols('realtime, openai-insecure-api-key.ma-a-b-c , openai-organization.org-1,openai-project.p, x'),
    { credential: 'ma-a-b-c', protocols: ['realtime', 'x'] },
  )
  assert.deepEqual(readOfferedProtocols('a,,a, b c, é'), { credential: '', protocols: ['a'] })
  assert.deepEqual(readOfferedProtocols(undefined), { credential: '', protocols: [] })
  assert.equal(readOfferedProtocols(Array.from({ length: 99 }, (_, i) => `p${i}`).join(',')).protocols.length, 16)
})

test('a close is passed on by its code; a broken connection is told as an error, a close without a word stays one', () => {
  for (const code of [1000, 1001, 1008, 1009, 1011, 1012, 3000, 4000, 4999]) assert.equal(passedCloseCode(code), code)
  for (const code of [1004, 1006, 1015, 1016, 2999, 5000]) assert.equal(passedCloseCode(code), 1011)
  assert.equal(passedCloseCode(1005), undefined)
  assert.equal(closeReason('short'), 'short')
  for (const text of ['x'.repeat(500), '海'.repeat(200), '🌊'.repeat(200)]) {
    const reason = closeReason(text)
    assert.ok(Buffer.byteLength(reason) <= 123)
    assert.ok(reason.isWellFormed())
  }
})

test('what comes again is known, and only so much is remembered', () => {
  const ids = new RecentIds(2)
  for (const id of ['a', 'b', 'a', 'c']) ids.add(id)
  assert.deepEqual(
    ['a', 'b', 'c'].map(id => ids.has(id)),
    [true, false, true],
  )
})

const read = (event: unknown) => readClientEvent(Buffer.from(typeof event === 'string' ? event : JSON.stringify(event)))

test('an event’s models are found wherever it names them, each once', () => {
  const create = (rest: object) => modelsOfCreate(read({ type: 'response.create', ...rest }))
  assert.deepEqual(create({ model: 'a', response: { model: 'b' } }), ['a', 'b'])
  assert.deepEqual(create({ model: 'a', response: { model: 'a' } }), ['a'])
  assert.deepEqual(create({ response: { model: 'b' } }), ['b'])
  assert.deepEqual(create({ model: null, response: null }), [])
  assert.deepEqual(create({ model: '' }), [])
  assert.deepEqual(modelsOfCreate(read('{"type":"response.create","mod\\u0065l":"a"}')), ['a'])
})

test('an event that says one thing twice, or is none, is refused', () => {
  const bad: unknown[] = [
    'no json',
    '[]',
    '{}',
    '"x"',
    '',
    { type: 3 },
    '{"type":"a","type":"b"}',
    '{"type":"a"} {"type":"b"}',
    '{"type":"response.create","model":"a","mod\\u0065l":"b"}',
  ]
  for (const event of bad)
    assert.throws(
      () => textMember(read(event), 'model'),
      (error: unknown) => error instanceof Refusal && error.reason === 'invalid_request',
      String(event),
    )
  for (const event of [
    { type: 'response.create', model: 3 },
    { type: 'response.create', model: 'x'.repeat(300) },
    { type: 'response.create', model: 'a\u0000b' },
    '{"type":"response.create","response":{"model":"a","model":"b"}}',
    { type: 'response.create', background: true },
    { type: 'response.create', response: { background: true } },
  ])
    assert.throws(() => modelsOfCreate(read(event)), Refusal, JSON.stringify(event))
  assert.deepEqual(parsedMember(read({ type: 'x', session: { a: [1] } }), 'session'), { a: [1] })
  assert.throws(() => parsedMember(read('{"type":"x","session":{"a":}}'), 'session'), Refusal)
})
