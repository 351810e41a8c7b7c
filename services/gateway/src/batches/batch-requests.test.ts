import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refusal, type RefusalReason } from '../refusal.ts'
import { readMessageRequests } from './batch-requests.ts'

const request = (custom_id: unknown, model: unknown) => ({ custom_id, params: { model, max_tokens: 5, messages: [] } })

function read(body: unknown) {
  const reader = readMessageRequests()
  reader.write(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
  return reader.end()
}

const refusedAs = (reason: RefusalReason) => (error: unknown) => error instanceof Refusal && error.reason === reason

test('the models of all requests are found once each, and only where a request names its model', () => {
  const decoy = { model: 'decoy', metadata: { model: 'decoy' }, tools: [{ params: { model: 'decoy' } }] }
  const body = {
    model: 'decoy',
    requests: [
      { custom_id: 'a', params: { ...decoy, model: 'claude-haiku-4-5' }, model: 'decoy' },
      request('b', 'claude-sonnet-4-6'),
      request('c', 'claude-haiku-4-5'),
    ],
  }
  assert.deepEqual(read(body), { models: ['claude-haiku-4-5', 'claude-sonnet-4-6'], count: 3 })
})

test('a request without an id of its own or without a model is refused, and so is no request', () => {
  for (const requests of [[], [request('', 'm')], [request(5, 'm')], [request('a', 'm'), request('a', 'm')], [[]], {}])
    assert.throws(() => read({ requests }), refusedAs('invalid_request'), JSON.stringify(requests))
  for (const model of ['', 5, null, undefined, 'x'.repeat(300), 'a\u0000'])
    assert.throws(() => read({ requests: [request('a', model)] }), refusedAs('model_missing'), String(model))
  assert.throws(() => read({ requests: ['text'] }), refusedAs('invalid_request'))
})

test('a request whose model has two readings is refused', () => {
  for (const body of [
    '{"requests":[{"custom_id":"a","params":{"model":"cheap","model":"dear"}}]}',
    '{"requests":[{"custom_id":"a","params":{"model":"cheap"},"params":{"model":"dear"}}]}',
    '{"requests":[],"requests":[{"custom_id":"a","params":{"model":"dear"}}]}',
  ])
    assert.throws(() => read(body), refusedAs('invalid_request'), body)
})

test('a hundred thousand requests are read, and not one more', () => {
  const many = (count: number) => ({
    requests: Array.from({ length: count }, (_, index) => request(`request-${index}`, 'claude-haiku-4-5')),
  })
  assert.equal(read(many(100_000)).count, 100_000)
  assert.throws(() => read(many(100_001)), refusedAs('invalid_request'))
  const models = Array.from({ length: 65 }, (_, index) => request(`r${index}`, `model-${index}`))
  assert.throws(() => read({ requests: models }), refusedAs('invalid_request'))
})
