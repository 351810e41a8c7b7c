import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isTrue, JsonScanError, parseString, scanObject } from './scan-json.ts'

const wanted = new Set(['model', 'stream', 'stream_options'])

test('a scan finds what a parser would find, in any object', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.oneof(fc.constantFrom('model', 'stream', 'a"b'), fc.string({ unit: 'binary' })), fc.jsonValue()),
      fc.constantFrom(0, 1, 3),
      (object, indent) => {
        const body = Buffer.from(JSON.stringify(object, null, indent))
        const { members } = scanObject(body, new Set(Object.keys(object)))
        for (const [key, value] of Object.entries(JSON.parse(body.toString()) as Record<string, unknown>)) {
          const span = members.get(key)
          assert.ok(span, key)
          assert.deepEqual(JSON.parse(body.toString('utf8', span.start, span.end)), value)
        }
      },
    ),
    { seed: 4, numRuns: 500 },
  )
})

test('strings longer than the near window end at their own quote, escaped quotes and backslashes included', () => {
  for (const text of [
    `${'x'.repeat(100)}\\`,
    `${'y'.repeat(47)}"`,
    `${'\\'.repeat(61)}"${'\\'.repeat(2)}`,
    `${'é'.repeat(80)}"}`,
  ]) {
    const body = Buffer.from(JSON.stringify({ a: text, model: 'm' }))
    const span = scanObject(body, wanted).members.get('model')
    assert.ok(span)
    assert.equal(parseString(body, span), 'm')
  }
})

test('a member named twice is refused, also behind an escape', () => {
  for (const body of ['{"model":"a","model":"b"}', '{"model":"a","mod\\u0065l":"b"}']) {
    assert.throws(() => scanObject(Buffer.from(body), wanted), /twice/)
  }
})

test('what is no JSON object is refused', () => {
  for (const body of [
    '',
    '[]',
    '"x"',
    '{',
    '{"a"',
    '{"a":}',
    '{"a":1',
    '{"a":[1}',
    '{"a":"x}',
    '{"a":1}x',
    '{a:1}',
    '{"a":1,}',
    `{"a":${'['.repeat(600)}${']'.repeat(600)}}`,
  ]) {
    assert.throws(() => scanObject(Buffer.from(body), wanted), JsonScanError, body.slice(0, 20))
  }
})

test('only the literal true is true', () => {
  const body = Buffer.from('{"stream":true,"model":"true"}')
  const { members } = scanObject(body, wanted)
  assert.equal(isTrue(body, members.get('stream')), true)
  assert.equal(isTrue(body, members.get('model')), false)
  assert.equal(isTrue(body, undefined), false)
})
