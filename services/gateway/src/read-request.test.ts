import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { endpoints } from './endpoints.ts'
import { BodyMemory, readBody, readModelRequest } from './read-request.ts'
import { Refusal, type RefusalReason } from './refusal.ts'

const chat = endpoints.find(endpoint => endpoint.name === 'chat.completions') as (typeof endpoints)[number]
const read = (body: unknown) =>
  readModelRequest(chat, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
const refusedFor = (body: unknown, reason: RefusalReason) =>
  assert.throws(
    () => read(body),
    (error: unknown) => error instanceof Refusal && error.reason === reason,
    JSON.stringify(body).slice(0, 60),
  )

test('model and mode are read; usage is asked for in streams only', () => {
  const plain = read({ model: 'm', messages: [] })
  assert.deepEqual([plain.model, plain.streamed, plain.withholdUsage], ['m', false, false])
  const streamed = read({ model: 'm', stream: true, messages: [] })
  assert.deepEqual([streamed.streamed, streamed.withholdUsage], [true, true])
  assert.match(streamed.body.toString(), /"stream_options":\{"include_usage":true\}\}$/)
  const asked = read({ model: 'm', stream: true, stream_options: { include_usage: true } })
  assert.equal(asked.withholdUsage, false)
})

test('a model that not every store could keep is refused', () => {
  for (const model of ['a\u0000b', 'line\nbreak', '\ud800', 'x'.repeat(257), '', 7]) {
    refusedFor({ model }, typeof model === 'number' ? 'invalid_request' : 'model_missing')
  }
  assert.equal(read('{"model":"gpt\\u002d5.4"}').model, 'gpt-5.4')
  refusedFor('{"model":"gpt\\ud800"}', 'model_missing')
})

test('images and files are no text: they count by the piece, not by their bytes', () => {
  const image = `data:image/png;base64,${'iVBORw0KGgo'.repeat(40_000)}`
  const text = 'A sentence of some length. '.repeat(200)
  const withText = read({ model: 'm', messages: [{ role: 'user', content: text }] }).estimatedInputTokens
  const withImage = read({
    model: 'm',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text },
          { type: 'image_url', image_url: { url: image } },
        ],
      },
    ],
  }).estimatedInputTokens
  assert.ok(withText > 1_200 && withText < 2_500, String(withText))
  assert.ok(withImage - withText < 1_100 && withImage - withText >= 1_000, String(withImage - withText))
})

test('what is to be made in the background is refused, but for responses', () => {
  refusedFor({ model: 'm', background: true }, 'path_not_supported')
  const responses = endpoints.find(endpoint => endpoint.name === 'responses') as (typeof endpoints)[number]
  assert.equal(readModelRequest(responses, Buffer.from('{"model":"m","background":true}')).background, true)
})

test('a request that lives on holds nothing of the pieces its body came in', async () => {
  const request = new PassThrough()
  const memory = new BodyMemory(10_000_000)
  const receive = async (): Promise<WeakRef<Buffer>[]> => {
    const chunks = [Buffer.alloc(1_000_000), Buffer.alloc(1_000_000)]
    const body = readBody(request as unknown as IncomingMessage, chat, memory)
    for (const chunk of chunks) request.write(chunk)
    request.end()
    assert.equal((await body).length, 2_000_000)
    return chunks.map(chunk => new WeakRef(chunk))
  }
  const held = await receive()
  assert.equal(memory.usedBytes, 2_000_000)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 20 && held.some(ref => ref.deref()); i++) {
    await new Promise(resolve => setTimeout(resolve, 5))
    collect()
  }
  assert.deepEqual(
    held.map(ref => ref.deref()?.length),
    [undefined, undefined],
  )
  assert.ok(!request.writable)
})

test('a body larger than all of the memory for bodies is too large, not to be tried again', async () => {
  const request = new PassThrough()
  const memory = new BodyMemory(1_000_000)
  const body = readBody(request as unknown as IncomingMessage, chat, memory)
  for (let i = 0; i < 3; i++) request.write(Buffer.alloc(400_000))
  request.end()
  await assert.rejects(body, { reason: 'body_too_large', message: /larger than 1000000 bytes/ })
  assert.equal(memory.usedBytes, 0)
})
