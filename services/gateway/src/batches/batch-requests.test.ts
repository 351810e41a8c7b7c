import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sized } from '@sluice/test-env/test-size'
import { Refusal, type RefusalReason } from '../refusal.ts'
import { readFileRequests, readMessageRequests } from './batch-requests.ts'

const request = (custom_id: unknown, model: unknown) => ({ custom_id, params: { model, max_tokens: 5, messages: [] } })

function read(body: unknown) {
  const reader = readMessageRequests({ isShared: false })
  reader.write(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
  return reader.end()
}

const refusedAs = (reason: RefusalReason) => (error: unknown) => error instanceof Refusal && error.reason === reason

test('the models of all requests are found once each, and only where a request names its model', () => {
  const decoy = { model: 'decoy', metadata: { model: 'decoy' }, tools: [{ parameters: { model: 'decoy' } }] }
  const body = {
    model: 'decoy',
    requests: [
      { custom_id: 'a', params: { ...decoy, model: 'claude-haiku-4-5' }, model: 'decoy' },
      request('b', 'claude-sonnet-4-6'),
      request('c', 'claude-haiku-4-5'),
    ],
  }
  assert.deepEqual(read(body), { models: ['claude-haiku-4-5', 'claude-sonnet-4-6'], named: [], count: 3 })
})

test('models that requests name beside their own are found once each, whoever owns the credential', () => {
  const advised = (model: string) => ({
    custom_id: model,
    params: { model: 'claude-haiku-4-5', tools: [{ type: 'advisor_20260301', model }], fallbacks: [{ model: 'c' }] },
  })
  assert.deepEqual(read({ requests: [request('r', 'claude-haiku-4-5'), advised('a'), advised('b')] }).named, [
    { model: 'a', member: 'requests[1].params.tools[0].model' },
    { model: 'c', member: 'requests[1].params.fallbacks[0].model' },
    { model: 'b', member: 'requests[2].params.tools[0].model' },
  ])
  for (const isShared of [true, false]) {
    const reader = readFileRequests({ '/v1/responses': {} }, { isShared })
    for (const tool of ['"model":"a"', '"mod\\u0065l":"b"'])
      reader.write(
        Buffer.from(
          `{"custom_id":"${tool.length}","url":"/v1/responses","body":{"model":"m","tools":[{"type":"image_generation",${tool}}]}}\n`,
        ),
      )
    assert.deepEqual(reader.end().named, [
      { model: 'a', member: '[0].body.tools[0].model' },
      { model: 'b', member: '[1].body.tools[0].model' },
    ])
  }
  const twice = '{"requests":[{"custom_id":"a","params":{"model":"m","tools":[{"model":"a","model":"b"}]}}]}'
  assert.throws(() => read(twice), refusedAs('invalid_request'))
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
  const requests = Array.from({ length: 100_000 }, (_, index) => request(`request-${index}`, 'claude-haiku-4-5'))
  const reader = readMessageRequests({ isShared: false })
  const many = Buffer.from(JSON.stringify({ requests }))
  reader.write(many.subarray(0, -']}'.length))
  const oneMore = Buffer.from(`,${JSON.stringify(request('one more', 'claude-haiku-4-5'))}`)
  assert.throws(() => reader.write(oneMore), refusedAs('invalid_request'))
  for (const whole of sized({ small: [], full: [many.toString()] })) assert.equal(read(whole).count, 100_000)
  const models = Array.from({ length: 65 }, (_, index) => request(`r${index}`, `model-${index}`))
  assert.throws(() => read({ requests: models }), refusedAs('invalid_request'))
})

test('under the shared credential a request of a batch refers to nothing that is kept there, and what it only tells of is let by', () => {
  const file = (isShared: boolean, ...bodies: object[]) => {
    const reader = readFileRequests({ '/v1/responses': {} }, { isShared })
    for (const [at, body] of bodies.entries())
      reader.write(
        Buffer.from(
          `${JSON.stringify({ custom_id: `r${at}`, method: 'POST', url: '/v1/responses', body: { model: 'm', ...body } })}\n`,
        ),
      )
    return reader.end().count
  }
  const messages = (isShared: boolean, params: object) => {
    const reader = readMessageRequests({ isShared })
    reader.write(Buffer.from(JSON.stringify({ requests: [{ custom_id: 'a', params: { model: 'm', ...params } }] })))
    return reader.end().count
  }
  for (const body of [
    { previous_response_id: 'resp_1' },
    { conversation: 'conv_1' },
    { conversation: { id: 'conv_1' } },
    { prompt: { id: 'pmpt_1' } },
    { input: [{ type: 'item_reference', id: 'msg_1' }] },
    { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] },
    { tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] },
    { tools: [{ type: 'code_interpreter', container: 'cntr_1' }] },
  ]) {
    assert.throws(
      () => file(true, {}, body),
      /Request 2 of the file names .*operator's credential/,
      JSON.stringify(body),
    )
    assert.equal(file(false, {}, body), 2)
  }
  for (const params of [
    { container: 'container_1' },
    { container: { id: 'container_1' } },
    { messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'file', file_id: 'file_1' } }] }] },
  ]) {
    assert.throws(() => messages(true, params), /requests\.0 names /, JSON.stringify(params))
    assert.equal(messages(false, params), 1)
  }
  const told = {
    previous_response_id: null,
    input: [{ role: 'user', id: 'msg_1', content: 'file_id' }],
    metadata: { id: 'x' },
  }
  assert.equal(file(true, told, told), 2)
})
