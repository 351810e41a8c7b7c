import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Quantities } from '@sluice/contracts'
import fc from 'fast-check'
import { JsonSieve } from './json-sieve.ts'
import { fromImages } from './openai/image.ts'
import { openImagesTap } from './openai/images-tap.ts'
import { bytesPerSecondOf, SoundCount } from './openai/sound-rate.ts'
import { openSpeechTap } from './openai/speech-tap.ts'
import { openTranscriptTap } from './openai/transcript-tap.ts'

const read = (name: string): Buffer => readFileSync(new URL(`./fixtures/${name}.sse`, import.meta.url))
const event = (data: object): Buffer => Buffer.from(`data: ${JSON.stringify(data)}\n\n`)
const inPieces = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

test('sound is unwrapped from its events, whatever the borders of chunks', () => {
  const bytes = read('openai-speech-with-usage')
  const sound = Buffer.concat([Buffer.from('UklGRiQAAABXQVZF', 'base64'), Buffer.from('Zm10IBAAAAABAAE=', 'base64')])
  for (const size of [1, 3, 50, bytes.length]) {
    const tap = openSpeechTap({ input: {}, format: 'wav', unwrap: true })
    const sent = inPieces(bytes, size).flatMap(chunk => [...tap.forward(chunk)])
    assert.ok(Buffer.concat([...sent, ...tap.flush()]).equals(sound))
    assert.deepEqual(tap.usage().quantities, { in_text: 14, out_audio: 101 })
  }
})

test('sound in an event of a megabyte is unwrapped too', () => {
  const sound = Buffer.alloc(1_000_000, 7)
  const tap = openSpeechTap({ input: {}, unwrap: true })
  const sent = tap.forward(event({ type: 'speech.audio.delta', audio: sound.toString('base64') }))
  assert.ok(Buffer.concat([...sent]).equals(sound))
})

test('a stream of media that ends before its usage is an estimate of what has passed', () => {
  const bytes = event({ type: 'speech.audio.delta', audio: Buffer.alloc(4_800).toString('base64') })
  const speech = (input: Quantities) => {
    const tap = openSpeechTap({ input, format: 'pcm', unwrap: false })
    tap.write(bytes)
    return tap.usage()
  }
  assert.deepEqual(speech({ in_text: 9 }).quantities, { in_text: 9, out_audio: 2 })
  assert.deepEqual(speech({ chars_in: 9 }).quantities, { chars_in: 9 })
  assert.deepEqual(speech({ chars_in: 9 }).provenance, { chars_in: 'estimated' })

  const transcript = (input: Quantities) => {
    const tap = openTranscriptTap({ input })
    tap.write(event({ type: 'transcript.text.delta', delta: 'a'.repeat(36) }))
    return tap.usage().quantities
  }
  assert.deepEqual(transcript({ in_audio: 30 }), { in_audio: 30, out_text: 10 })
  assert.deepEqual(transcript({ audio_ms_in: 3_000 }), { audio_ms_in: 3_000 })

  const image = (input: Quantities, partial: number) => {
    const imagesByToken = input.images ? 0 : 1
    const tap = openImagesTap({ input, size: '1024x1024', quality: 'low', partialImages: 3, imagesByToken })
    const seen = { type: 'image_generation.partial_image', b64_json: 'AAAA', partial_image_index: 0 }
    for (let times = 0; times < partial; times++) tap.write(event(seen))
    return tap.usage().quantities
  }
  // Of four steps of 68 tokens half of the one under way, and 100 for a partial image; one that comes twice is one.
  assert.deepEqual(image({ in_text: 5 }, 0), { in_text: 5, out_image: 34 })
  assert.deepEqual(image({ in_text: 5 }, 2), { in_text: 5, out_image: 202 })
  assert.deepEqual(image({ images: 1 }, 1), { images: 1 })
})

test('sound says itself how many bytes are a second of it, whatever was asked for', () => {
  const wav = Buffer.alloc(44)
  wav.write('RIFF')
  wav.writeUInt32LE(16_000, 28)
  const table: [Buffer, string | undefined, number][] = [
    [wav, 'mp3', 16_000],
    [wav.subarray(0, 20), 'wav', 48_000],
    [Buffer.from('fffb90c4', 'hex'), undefined, 16_000],
    [Buffer.from('fff384c4', 'hex'), 'mp3', 8_000],
    [Buffer.from('ffffffff', 'hex'), 'mp3', 20_000],
    [Buffer.alloc(0), undefined, 20_000],
    [Buffer.from('OggS'), 'opus', 8_000],
  ]
  for (const [head, format, expected] of table) assert.equal(bytesPerSecondOf(head, format), expected)
  const count = new SoundCount('wav')
  for (let at = 0; at < wav.length; at += 5) count.add(wav.subarray(at, at + 5))
  assert.deepEqual([count.bytes, count.bytesPerSecond], [44, 16_000])
})

test('an image of which nothing is told costs a whole one of its size and quality', () => {
  const finished = { type: 'image_generation.completed', b64_json: 'AAAA', size: '1024x1536', quality: 'low' }
  const usage = (input: Quantities) => {
    const tap = openImagesTap({ input, partialImages: 0 })
    tap.write(event(finished))
    return tap.usage()
  }
  assert.deepEqual(usage({ in_text: 5 }).quantities, { in_text: 5, out_image: 408 })
  assert.deepEqual(usage({ in_text: 5 }).provenance, { in_text: 'estimated', out_image: 'estimated' })
  assert.deepEqual(
    [usage({ images: 1 }).quantities, usage({ images: 1 }).provenance],
    [{ images: 1 }, { images: 'measured' }],
  )
})

test('of several images in one stream each counts, and one that is told again does not', () => {
  const completed = (output_tokens: number) =>
    event({
      type: 'image_generation.completed',
      b64_json: 'AAAA',
      ...(output_tokens > 0 && { usage: { input_tokens: 5, output_tokens } }),
    })
  const usage = (input: Quantities, imagesByToken: number, ...outputs: number[]) => {
    const tap = openImagesTap({ input, quality: 'low', partialImages: 0, imagesByToken })
    for (const output of outputs) tap.write(completed(output))
    return tap.usage()
  }
  const summed = usage({ in_text: 9 }, 3, 272, 272, 408)
  assert.deepEqual(summed.quantities, { in_text: 15, out_image: 952 })
  assert.deepEqual(summed.provenance, { in_text: 'measured', out_image: 'measured' })
  assert.deepEqual(
    (summed.raw_usage as { output_tokens: number }[]).map(({ output_tokens }) => output_tokens),
    [272, 272, 408],
  )
  assert.deepEqual(usage({ in_text: 9 }, 1, 272, 272).quantities, { in_text: 5, out_image: 272 })
  assert.deepEqual(usage({ in_text: 9 }, 2, 0, 0).quantities, { in_text: 9, out_image: 544 })
  assert.deepEqual(usage({ images: 2 }, 0, 0, 0).quantities, { images: 2 })
})

test('a stream of media that begins with an error costs nothing', () => {
  const input = { in_text: 7 }
  for (const tap of [
    openSpeechTap({ input, unwrap: false }),
    openTranscriptTap({ input }),
    openImagesTap({ input, partialImages: 0 }),
  ]) {
    tap.write(event({ type: 'error', error: { message: 'overloaded' } }))
    assert.ok(tap.failed)
    assert.deepEqual(tap.usage().quantities, {})
  }
})

test('events and fields that nobody knows change nothing', () => {
  const strange = [
    event({ type: 'future.thing', usage: 7 }),
    event([1]),
    Buffer.from('data: {"broken\n\n: comment\n\n'),
  ]
  for (const [name, tap] of [
    ['openai-speech-with-usage', openSpeechTap({ input: {}, unwrap: false })],
    ['openai-transcript-of-tokens', openTranscriptTap({ input: {} })],
    ['openai-image-with-two-partial-ones', openImagesTap({ input: {}, partialImages: 2 })],
  ] as const) {
    for (const bytes of strange) tap.write(bytes)
    tap.write(Buffer.from(read(name).toString().replaceAll('data: {', 'data: {"future":{"usage":[1,null]},')))
    for (const bytes of strange) tap.write(bytes)
    assert.ok(tap.ended && tap.measured && !tap.failed)
    assert.ok(Object.values(tap.usage().provenance).every(mark => mark === 'measured'))
  }
})

test('an image of megabytes in an event is read for its usage alone', () => {
  const usage = { input_tokens: 3, output_tokens: 272, total_tokens: 275 }
  for (const fields of [
    { type: 'image_edit.completed', b64_json: 'A'.repeat(3_000_000), usage, size: '1024x1024' },
    { usage, size: '1024x1024', type: 'image_edit.completed', b64_json: 'A"\\'.repeat(500_000) },
  ]) {
    const tap = openImagesTap({ input: {}, partialImages: 0 })
    for (const chunk of inPieces(Buffer.concat([Buffer.from('event: x\n'), event(fields)]), 65_536)) tap.write(chunk)
    assert.deepEqual(tap.usage().quantities, { in_text: 3, out_image: 272 })
  }
})

test('a reply of any size is read without its long strings, whatever the borders of chunks', () => {
  const long = '"\\ü\u2028x'.repeat(400)
  const value = { data: [{ b64_json: long }, { b64_json: 'short \\"' }, { url: long }], usage: { input_tokens: 1 } }
  const expected = { data: [{ b64_json: '' }, { b64_json: 'short \\"' }, { url: '' }], usage: { input_tokens: 1 } }
  const bytes = Buffer.from(JSON.stringify(value))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: bytes.length }), size => {
      const sieve = new JsonSieve()
      for (const chunk of inPieces(bytes, size)) sieve.write(chunk)
      assert.deepEqual(sieve.value(), expected)
    }),
    { numRuns: 200, seed: 7, examples: [[1], [2], [3]] },
  )
  assert.deepEqual(fromImages(expected).quantities, { in_text: 1 })
})

test('a reply that is no JSON, or has too much beside its strings, reads as nothing', () => {
  for (const text of ['', '{"half', '[1,', `[${'1,'.repeat(200_000)}1]`, 'plain "text']) {
    const sieve = new JsonSieve()
    sieve.write(Buffer.from(text))
    assert.equal(sieve.value(), undefined)
  }
})
