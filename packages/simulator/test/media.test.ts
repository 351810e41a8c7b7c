import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { makePicture } from '../src/media/picture.ts'
import { makeSound, measureSound } from '../src/media/sound.ts'
import { eventually, onlyRecord, startFor } from './simulator.ts'

const linesOf = (record: ReturnType<typeof onlyRecord>) =>
  Object.fromEntries(record.lines.map(line => [line.item, [line.units, line.nano_usd]]))

test('sound is as long as its headers say', () => {
  for (const milliseconds of [24, 1_200, 61_800]) {
    assert.equal(measureSound(makeSound('wav', milliseconds)), milliseconds)
    assert.ok(Math.abs((measureSound(makeSound('mp3', milliseconds)) ?? 0) - milliseconds) <= 12)
  }
  assert.equal(measureSound(Buffer.from('no sound')), undefined)
})

test('speech by the character costs its characters, and is the same for the same words', async t => {
  const { simulator, openai } = await startFor(t)
  const say = async () => {
    const answer = await openai.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'Grüße 🙂' })
    assert.equal(answer.headers.get('content-type'), 'audio/mpeg')
    return Buffer.from(await answer.arrayBuffer())
  }
  const sound = await say()
  assert.deepEqual(linesOf(onlyRecord(simulator)), { characters: [7, 105_000] })
  assert.ok((await say()).equals(sound))
})

test('speech in events tells its tokens and says the same as speech alone', async t => {
  const { simulator, openai } = await startFor(t)
  const ask = { model: 'gpt-4o-mini-tts', voice: 'alloy', input: 'Good morning, sea.', response_format: 'wav' } as const
  const alone = Buffer.from(await (await openai.audio.speech.create(ask)).arrayBuffer())
  simulator.bill.reset()
  const text = await (await openai.audio.speech.create({ ...ask, stream_format: 'sse' })).text()
  const events = [...text.matchAll(/^data: (.*)$/gm)].map(match => JSON.parse(match[1] ?? ''))
  const sound = Buffer.concat(events.slice(0, -1).map(event => Buffer.from(event.audio, 'base64')))
  assert.ok(sound.equals(alone))
  assert.deepEqual(events.at(-1).usage, { input_tokens: 5, output_tokens: 25, total_tokens: 30 })
  assert.deepEqual(linesOf(onlyRecord(simulator)), { text_input: [5, 3_000], audio_output: [25, 300_000] })
  assert.equal(measureSound(alone), 25 * 50)
})

test('a transcript costs seconds or tokens, and tells them only where its format has room', async t => {
  const { simulator, openai } = await startFor(t)
  const file = () => toFile(makeSound('wav', 61_400), 'a.wav')
  const ask = async (body: object): Promise<unknown> =>
    openai.audio.transcriptions.create({ file: await file(), model: 'whisper-1', ...body })
  const told = (await ask({})) as { usage: unknown }
  assert.deepEqual(told.usage, { type: 'duration', seconds: 61 })
  assert.deepEqual(linesOf(onlyRecord(simulator)), { seconds: [61, 6_100_000] })
  const verbose = (await ask({ response_format: 'verbose_json' })) as { duration: number; usage?: unknown }
  assert.deepEqual([verbose.duration, verbose.usage], [61.4, undefined])
  assert.match(String(await ask({ response_format: 'srt' })), /^1\n00:00:00,000 --> 00:01:01,400\nSim:/)
  assert.match(String(await ask({ response_format: 'vtt' })), /^WEBVTT\n/)
  simulator.bill.reset()
  const heard = (await ask({ model: 'gpt-4o-transcribe', prompt: 'Sea words' })) as { usage: unknown }
  assert.deepEqual(heard.usage, {
    type: 'tokens',
    input_tokens: 617,
    input_token_details: { text_tokens: 3, audio_tokens: 614 },
    output_tokens: 26,
    total_tokens: 643,
  })
  assert.deepEqual(linesOf(onlyRecord(simulator)), {
    text_input: [3, 7_500],
    audio_input: [614, 3_684_000],
    text_output: [26, 260_000],
  })
})

test('images cost tokens or pieces, and a stream shows partial ones', async t => {
  const { simulator, openai } = await startFor(t)
  const ask = { model: 'gpt-image-1.5', prompt: 'A sea', size: '1024x1536', quality: 'low' } as const
  const stream = await openai.images.generate({ ...ask, stream: true, partial_images: 2 })
  const types: string[] = []
  for await (const event of stream) {
    types.push(event.type)
    if (event.type === 'image_generation.completed') assert.equal(event.usage.output_tokens, 408 + 200)
  }
  assert.deepEqual(types, [
    'image_generation.partial_image',
    'image_generation.partial_image',
    'image_generation.completed',
  ])
  assert.deepEqual(linesOf(onlyRecord(simulator)), { text_input: [2, 10_000], image_output: [608, 19_456_000] })

  simulator.bill.reset()
  const image = await toFile(makePicture('64x64', 1), 'a.png', { type: 'image/png' })
  const edited = await openai.images.edit({ ...ask, image: [image, image], n: 2 })
  assert.equal(edited.data?.length, 2)
  assert.deepEqual(edited.usage?.input_tokens_details, { text_tokens: 2, image_tokens: 646 })

  simulator.bill.reset()
  const varied = await openai.images.createVariation({ model: 'dall-e-2', image, n: 3, size: '256x256' })
  assert.equal(varied.data?.length, 3)
  assert.deepEqual(linesOf(onlyRecord(simulator)), { images: [3, 48_000_000] })
})

test('a client that leaves pays for what was made until then', async t => {
  const { simulator, openai } = await startFor(t)
  const ask = { model: 'gpt-4o-mini-tts', voice: 'alloy', input: '[[sim delay_ms=20 tokens_per_chunk=1]] sea' } as const
  const answer = await openai.audio.speech.create({ ...ask, response_format: 'pcm' })
  const reader = answer.body?.getReader()
  await reader?.read()
  await reader?.cancel()
  const record = await eventually(() => simulator.bill.since().find(({ ended }) => ended === 'aborted'))
  const made = record.lines.find(({ item }) => item === 'audio_output')?.units ?? 0
  assert.ok(made > 0 && made < 50, `${made} tokens`)
})

test('a stream of sound can fail before and in it', async t => {
  const { simulator, openai } = await startFor(t)
  const file = await toFile(makeSound('mp3', 3_000), 'a.mp3')
  const listen = async (prompt: string) => {
    const stream = await openai.audio.transcriptions.create({ file, model: 'gpt-4o-transcribe', prompt, stream: true })
    for await (const _ of stream);
  }
  await assert.rejects(listen('[[sim fault=overloaded]]'), OpenAI.APIError)
  assert.equal(onlyRecord(simulator).cost_nano_usd, 0)
  simulator.bill.reset()
  await assert.rejects(listen('[[sim fault=error at=4]]'), OpenAI.APIError)
  assert.equal(onlyRecord(simulator).generated_output_tokens, 4)
  assert.ok(onlyRecord(simulator).cost_nano_usd > 0)
})
