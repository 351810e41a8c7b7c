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

/** A second of WAV is 16,000 bytes; a frame of the MP3 is 417 bytes, 26 ms at 128 kbit/s. */
function sounds() {
  const wav = Buffer.alloc(44 + 40_000)
  wav.write('RIFF', 0)
  wav.write('WAVEfmt ', 8)
  wav.writeUInt32LE(16_000, 28)
  const mp3 = Buffer.alloc(417 * 100)
  for (let at = 0; at < mp3.length; at += 417) mp3.set([0xff, 0xfb, 0x90, 0xc4], at)
  const tag = Buffer.alloc(10 + 300)
  tag.write('ID3\x04', 0, 'latin1')
  tag.set([0, 0, 2, 44], 6)
  return { wav, mp3, tagged: Buffer.concat([tag, mp3]), unknown: Buffer.alloc(8_000, 3) }
}

test('sound that is sent counts by how long it lasts, beside the text', () => {
  const said = { type: 'text', text: 'What do you hear?' }
  const ask = (...content: object[]) => read({ model: 'm', messages: [{ role: 'user', content: [said, ...content] }] })
  const part = (sound: Buffer, isFirst = true) => {
    const data = sound.toString('base64')
    return { type: 'input_audio', input_audio: isFirst ? { data, format: 'wav' } : { format: 'wav', data } }
  }
  const { wav, mp3, tagged, unknown } = sounds()
  for (const [sound, tokens] of [
    [wav, 25],
    [mp3, 27],
    [tagged, 27],
    [unknown, 10],
  ] as const)
    for (const isFirst of [true, false])
      assert.equal(ask(part(sound, isFirst)).sound?.heardTokens, tokens, `${sound.length} bytes`)
  const both = ask(part(wav), part(mp3), { type: 'image_url', image_url: { url: part(wav).input_audio.data } })
  assert.deepEqual([both.sound?.heardTokens, both.sound?.parts, both.binary?.parts], [52, 2, 1])
  const words = ask({ type: 'input_audio', input_audio: { data: '', format: 'wav' } })
  assert.ok(Math.abs(ask(part(wav)).estimatedInputTokens - words.estimatedInputTokens) < 2)
  // Said, and not sent.
  assert.equal(ask({ type: 'text', text: JSON.stringify(part(wav)) }).sound, undefined)
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
