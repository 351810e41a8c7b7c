import assert from 'node:assert/strict'
import { test } from 'node:test'
import { estimateUnanswered, type ReplyShapeName, replyShapes } from './reply-reader.ts'
import { images } from './shapes/images.ts'
import type { AskedUsage } from './shapes/reply-shape.ts'

const known = { isWhole: true, contentType: 'application/json', inputTokens: 100, asked: undefined }
const read = (shape: ReplyShapeName, reply: unknown) => {
  const body = Buffer.from(typeof reply === 'string' ? reply : JSON.stringify(reply))
  return replyShapes[shape].read(body, { ...known, wholeBytes: body.length })
}

test('a reply without usage is estimated by what was asked and said, not by its names and ids', () => {
  const said = 'x'.repeat(36)
  const replies = [
    [
      'chat',
      {
        id: 'a'.repeat(99),
        choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: said } }],
      },
    ],
    [
      'chat',
      {
        choices: [
          {
            message: { tool_calls: [{ id: 'b', type: 'function', function: { name: 'f', arguments: said.slice(1) } }] },
          },
        ],
      },
    ],
    [
      'responses',
      { status: 'completed', output: [{ id: 'c', type: 'message', content: [{ type: 'output_text', text: said }] }] },
    ],
    [
      'messages',
      { stop_reason: 'end_turn', content: [{ type: 'thinking', thinking: said, signature: 'd'.repeat(99) }] },
    ],
  ] as const
  for (const [shape, reply] of replies) {
    const usage = read(shape, reply)
    assert.deepEqual(usage.quantities, { in_text: 100, out_text: 10 }, JSON.stringify(reply))
    assert.deepEqual(usage.provenance, { in_text: 'estimated', out_text: 'estimated' })
  }
})

test('a reply that cannot be read is estimated as if all of it had been said', () => {
  assert.deepEqual(read('chat', '<html>'.repeat(6)).quantities, { in_text: 100, out_text: 10 })
})

test('an embedding without usage has an input only, a token count nothing', () => {
  assert.deepEqual(read('embeddings', { data: [{ embedding: 'AAAA' }] }).quantities, { in_text: 100 })
  assert.deepEqual(read('token-count', { input_tokens: 7 }).quantities, {})
})

test('a spoken reply that breaks off counts the sound that has come, however it is read, and what was sent', () => {
  const { chat } = replyShapes
  const asked = { names: [], parts: 1, heardTokens: 30, speaks: true }
  // Two seconds of samples, and a header before those that are a WAV.
  const samples = Buffer.alloc(96_000, 1)
  const header = Buffer.alloc(44)
  header.write('RIFF')
  header.writeUInt32LE(48_000, 28)
  for (const [format, sound] of [
    ['wav', Buffer.concat([header, samples])],
    ['pcm', samples],
  ] as const) {
    const facts = { ...known, sound: { ...asked, format } }
    const audio = { id: 'audio_1', transcript: 'x'.repeat(36), data: sound.toString('base64') }
    const whole = JSON.stringify({ choices: [{ message: { content: null, audio } }] })
    const half = Buffer.from(whole.slice(0, whole.indexOf(audio.data) + 66_000))
    const large = chat.openLarge?.(facts)
    large?.write(half)
    for (const usage of [chat.read(half, { ...facts, isWhole: false, wholeBytes: half.length }), large?.usage(false)]) {
      assert.deepEqual(usage?.quantities, { in_text: 100, in_audio: 30, out_text: 10, out_audio: 21 })
      assert.ok(Object.values(usage?.provenance ?? {}).every(mark => mark === 'estimated'))
    }
    const body = Buffer.from(whole)
    assert.equal(chat.read(body, { ...facts, wholeBytes: body.length }).quantities.out_audio, 40)
  }
})

test('a reply that breaks off is estimated by what of it was said, not by its bytes', () => {
  const broken = (shape: ReplyShapeName, text: string, asked?: AskedUsage) =>
    replyShapes[shape].read(Buffer.from(text), { ...known, asked, isWhole: false, wholeBytes: text.length }).quantities
  assert.deepEqual(broken('embeddings', `{"data":[{"embedding":"${'A'.repeat(900)}`), { in_text: 100 })
  const heard = { quantities: { in_audio: 30 }, provenance: {}, modifiers: {} }
  assert.deepEqual(broken('transcript', `{"text":"${'x'.repeat(36)}`, heard), { in_audio: 30, out_text: 10 })
  assert.deepEqual(broken('transcript', `{"text":"${'x'.repeat(36)}","usage":{"type":"tok`, heard), {
    in_audio: 30,
    out_text: 10,
  })
})

test('vectors that pass as they come are read wherever their model and usage stand', () => {
  const data = `"data":[${'{"embedding":[0.25,-0.5],"usage":{"prompt_tokens":1}},'.repeat(2_000)}{"embedding":"AAAA"}]`
  const model = '"model":"served","usage":{"prompt_tokens":9,"total_tokens":9}'
  for (const body of [`{${model},${data}}`, `{${data},${model}}`].map(text => Buffer.from(text))) {
    const large = replyShapes.embeddings.openLarge?.(known)
    for (let at = 0; at < body.length; at += 1_000) large?.write(body.subarray(at, at + 1_000))
    const broken = replyShapes.embeddings.openLarge?.(known)
    broken?.write(body.subarray(0, -1))
    for (const usage of [large?.usage(true), broken?.usage(false)])
      assert.deepEqual(
        [usage?.quantities, usage?.provenance, usage?.served_model],
        [{ in_text: 9 }, { in_text: 'measured' }, 'served'],
      )
  }
  const unreadable = replyShapes.embeddings.openLarge?.(known)
  unreadable?.write(Buffer.from('<html>'.repeat(6)))
  assert.deepEqual(unreadable?.usage(true).quantities, { in_text: 100 })
})

test('images that nobody has seen cost half of what was asked for, those that are being sent all of it', () => {
  const asked = {
    quantities: { in_text: 5 },
    provenance: { in_text: 'estimated' as const },
    modifiers: { image_size: '1024x1024', image_quality: 'low' },
  }
  const media = { format: undefined, unwrap: false, partialImages: 0, imagesByToken: 2 }
  const inBody = (bytes: string, isWhole: boolean) => {
    const body = images.openBody?.({ inputTokens: 0, asked, media })
    body?.write(Buffer.from(bytes))
    return body?.usage(isWhole)
  }
  for (const [usage, output] of [
    [estimateUnanswered({ asked, media, estimatedInputTokens: 0 }), 272],
    [inBody('', false), 272],
    [inBody('{"data":[{"b64_json":"AAA', false), 544],
  ] as const) {
    assert.deepEqual(usage?.quantities, { in_text: 5, out_image: output })
    assert.deepEqual(usage.provenance, { in_text: 'estimated', out_image: 'estimated' })
  }
  // What is no reply to such a call was made of no image.
  assert.deepEqual(inBody('<html>', true)?.quantities, { in_text: 5 })
  const byPiece = { asked: { ...asked, quantities: { images: 2 } }, media: { ...media, imagesByToken: 0 } }
  assert.deepEqual(estimateUnanswered({ ...byPiece, estimatedInputTokens: 0 }).quantities, { images: 2 })
})
