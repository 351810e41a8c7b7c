import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Simulator, startSimulator } from '@sluice/simulator'
import { silence } from '@sluice/test-env'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { billOf, billOfForm, books, tokensOf } from '../../test/bounds/bound-witness.ts'
import { type MediaShape, readAskedMedia } from '../media-request.ts'
import { BatchBound } from './batch-bound.ts'
import { boundMediaCall } from './media-bound.ts'
import { boundRealtimeTurn } from './realtime-bound.ts'

let simulator: Simulator
before(async () => {
  simulator = await startSimulator()
})
after(() => simulator.close())

interface Given {
  inputImages?: number
  durationMs?: number
  mostMs?: number
}

function boundOf(shape: MediaShape, request: Record<string, unknown>, given: Given | undefined) {
  const model = String(request.model)
  const fields = {
    text: (name: string) => (request[name] === undefined ? undefined : String(request[name])),
    promptBytes: Buffer.byteLength(String(request.prompt ?? '')),
    inputImages: given?.inputImages ?? 0,
    sound: { ms: given?.durationMs ?? 0, mostMs: given?.mostMs ?? given?.durationMs ?? 0 },
  }
  const { asked, atMost, media } = readAskedMedia(shape, fields, { prices: books, provider: 'openai', model })
  const body = given
    ? { path: '', bytes: 0, contentType: '', close: async () => {} }
    : Buffer.from(JSON.stringify(request))
  return boundMediaCall({
    shape,
    dialect: 'openai',
    model,
    prices: books,
    request: { asked, ...(atMost && { atMost }), media, body: body as Buffer },
    assumeDearest: false,
  })
}

const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .filter(value => value.trim() !== '' && !value.includes('[['))
const speech = fc.record({
  model: fc.constantFrom('tts-1', 'tts-1-hd', 'gpt-4o-mini-tts'),
  input: text,
  voice: fc.constant('alloy'),
})
const images = fc.oneof(
  fc.record(
    {
      model: fc.constantFrom('gpt-image-1.5', 'gpt-image-1-mini', 'gpt-image-2.6-sunburst'),
      prompt: text,
      n: fc.integer({ min: 1, max: 10 }),
      quality: fc.constantFrom('low', 'medium', 'high', 'auto'),
      size: fc.constantFrom('1024x1024', '1024x1536', '1536x1024', 'auto'),
    },
    { requiredKeys: ['model', 'prompt'] },
  ),
  fc.record(
    {
      model: fc.constant('dall-e-3'),
      prompt: text,
      quality: fc.constantFrom('standard', 'hd'),
      size: fc.constantFrom('1024x1024', '1792x1024', '1024x1792'),
    },
    { requiredKeys: ['model', 'prompt'] },
  ),
  fc.record(
    {
      model: fc.constant('dall-e-2'),
      prompt: text,
      n: fc.integer({ min: 1, max: 10 }),
      size: fc.constantFrom('256x256', '512x512', '1024x1024'),
    },
    { requiredKeys: ['model', 'prompt'] },
  ),
)

for (const [name, shape, requests] of [
  ['audio.speech', 'speech', speech],
  ['images.generations', 'images', images],
] as const)
  test(`${name}: nothing that the provider charges is above the bound`, async () => {
    await fc.assert(
      fc.asyncProperty(requests as fc.Arbitrary<Record<string, unknown>>, async request => {
        const bill = await billOf(simulator, name, Buffer.from(JSON.stringify(request)))
        assertWithin(boundOf(shape, request, undefined), bill)
      }),
      { numRuns: sized({ small: 15, full: 40 }) },
    )
  })

test('audio.transcriptions: nothing that the provider charges is above the bound of the file', async () => {
  const models = fc.constantFrom('whisper-1', 'gpt-transcribe', 'gpt-4o-transcribe', 'gpt-4o-mini-transcribe')
  await fc.assert(
    fc.asyncProperty(models, fc.integer({ min: 1, max: 20_000 }), text, async (model, durationMs, prompt) => {
      const form = new FormData()
      form.set('model', model)
      form.set('prompt', prompt)
      form.set('file', new Blob([silence(durationMs)]), 'a.wav')
      const bill = await billOfForm(simulator, 'audio.transcriptions', form)
      assertWithin(boundOf('transcript', { model, prompt }, { durationMs }), bill)
    }),
    { numRuns: sized({ small: 10, full: 25 }) },
  )
})

test('sound that is sent counts the longest that it is taken for', () => {
  for (const model of ['whisper-1', 'gpt-4o-transcribe']) {
    const lengths = { durationMs: 1_000, mostMs: 600_000 }
    const long = boundOf('transcript', { model }, { durationMs: 600_000 }).amount('usd', 0)
    assert.equal(boundOf('transcript', { model }, lengths).amount('usd', 0), long)
  }
})

test('a count of images that is not plainly a number counts as the most', () => {
  const of = (model: string, more: object) =>
    boundOf('images', { model, prompt: 'A sea', ...more }, {}).amount('usd', 0)
  for (const model of ['gpt-image-1.5', 'dall-e-2']) {
    assert.ok(of(model, { n: '5' }) > of(model, {}))
    for (const n of ['5.0', '5e0', '+5', '0x5', '٥']) assert.equal(of(model, { n }), of(model, { n: '10' }), n)
  }
  const partial = (partial_images: string) => of('gpt-image-1.5', { partial_images })
  assert.equal(partial('2.0'), partial('3'))
})

test('images.edits: each image that is given is counted, and so is each that is made', async () => {
  for (const model of ['gpt-image-1.5', 'gpt-image-1-mini'])
    for (const inputImages of [1, 3]) {
      const request = { model, prompt: 'A sea, ﷺ', n: '2', quality: 'high', size: '1024x1536' }
      const form = new FormData()
      for (const [name, value] of Object.entries(request)) form.set(name, value)
      for (let i = 0; i < inputImages; i++) form.append('image[]', new Blob([Buffer.alloc(64)]), `${i}.png`)
      const bill = await billOfForm(simulator, 'images.edits', form)
      assertWithin(boundOf('images', request, { inputImages }), bill)
    }
})

test('speech that is sold by the token says that it has no bound, what is sold by the character has one', () => {
  assert.equal(boundOf('speech', { model: 'tts-1', input: 'Hello' }, undefined).unboundedBy, undefined)
  assert.ok(boundOf('speech', { model: 'gpt-4o-mini-tts', input: 'Hello' }, undefined).unboundedBy)
})

test('a picture whose quality is left to the model costs what the dearest does', () => {
  const usd = (request: object) =>
    boundOf('images', { model: 'dall-e-3', prompt: 'sea', ...request }, undefined).amount('usd', 0)
  assert.equal(usd({}), 80_000_016)
  assert.equal(usd({ size: '1024x1792' }), 120_000_016)
  assert.equal(usd({ size: '1024x1792', quality: 'hd' }), 120_000_016)
  assert.equal(usd({ quality: 'standard' }), 40_000_016)
})

test('pictures that are shown while one is made are counted beside it', () => {
  const tokens = (request: object) =>
    boundOf('images', { model: 'gpt-image-1.5', prompt: 'sea', ...request }, { inputImages: 0 }).amount('tokens', 0)
  assert.equal(tokens({ partial_images: 3 }) - tokens({}), 300)
})

test('a turn of a realtime session reads its whole window as sound', () => {
  const turn = { dialect: 'openai', model: 'gpt-realtime', prices: books, assumeDearest: false } as const
  const bound = boundRealtimeTurn({ ...turn, outputTokens: 1_000 })
  // 32,000 tokens at $32 and 1,000 at $64 a million.
  assert.equal(bound.amount('usd', 1_000), 1_024_000_000 + 64_000_000 + 16)
  assert.equal(bound.amount('tokens', 1_000), 33_000)
  assert.equal(boundRealtimeTurn({ ...turn, outputTokens: undefined }).outputTokens, 4_096)
})

test('a batch comes to what its requests come to, each held whole', () => {
  const batch = new BatchBound()
  const turn = { dialect: 'openai', model: 'gpt-realtime', prices: books, assumeDearest: false } as const
  const one = boundRealtimeTurn({ ...turn, outputTokens: 1_000 })
  batch.add('gpt-realtime', one)
  batch.add('gpt-4o-mini-tts', boundOf('speech', { model: 'gpt-4o-mini-tts', input: 'Hello' }, undefined))
  batch.add('gpt-realtime', one)
  const total = batch.within()
  assert.equal(total.amount('requests', 0), 4, 'its creation is one, too')
  assert.ok(total.amount('usd', 0) > 2 * one.amount('usd', 1_000))
  assert.ok(total.amount('tokens', 0) > 66_000)
  assert.equal(total.clamp, undefined)
  assert.ok(total.unboundedBy)
})

function assertWithin(bound: ReturnType<typeof boundOf>, bill: Awaited<ReturnType<typeof billOf>>): void {
  assert.equal(bill.ended, 'completed')
  const usd = bound.amount('usd', 0)
  assert.ok(bill.cost_nano_usd <= usd, `${bill.cost_nano_usd} of ${usd} nano-USD: ${JSON.stringify(bill.lines)}`)
  const tokens = bound.amount('tokens', 0)
  assert.ok(tokensOf(bill) <= tokens, `${tokensOf(bill)} of ${tokens} tokens`)
}
