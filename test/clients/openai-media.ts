import { deflateSync } from 'node:zlib'
import { silence as silenceOf } from '@sluice/test-env'
import OpenAI, { toFile } from 'openai'
import { Stream } from 'openai/streaming'
import { type ClientCalls, promptOf, type Setup } from './client-calls.ts'

const client = 'openai'

function open({ openaiBaseUrl, apiKey, headers }: Setup): OpenAI {
  return new OpenAI({ baseURL: openaiBaseUrl, apiKey, defaultHeaders: headers, maxRetries: 0 })
}

/** Whole seconds of silence as a WAV of 16,000 bytes a second. */
export function silence(seconds: number): Buffer {
  return Buffer.from(silenceOf(seconds * 1_000))
}

/** Bytes that begin as a picture does. */
export const picture = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), deflateSync(Buffer.alloc(5_000, 3))])

const sound = () => toFile(silence(12), 'a.wav')
const image = () => toFile(picture, 'a.png', { type: 'image/png' })

const spoken = async (setup: Setup, body: OpenAI.Audio.SpeechCreateParams, signal: AbortSignal) =>
  (await open(setup).audio.speech.create(body, { signal })).arrayBuffer()

/** Sound in events: the SDK hands the reply out as it comes, and has a reader for it. */
const spokenInEvents = async (setup: Setup, body: OpenAI.Audio.SpeechCreateParams, signal: AbortSignal) => {
  const leave = new AbortController()
  signal.addEventListener('abort', () => leave.abort())
  const answer = await open(setup).audio.speech.create({ ...body, stream_format: 'sse' }, { signal: leave.signal })
  return Stream.fromSSEResponse<object>(answer, leave)
}

const formats = ['text', 'srt', 'vtt', 'verbose_json'] as const

/** A picture given by a link or in the body goes as JSON, for which the SDK has no method of its own. */
const editAsJson = (orders: string, more: object = {}) => ({
  model: 'gpt-image-1.5',
  prompt: promptOf(orders),
  images: [{ image_url: `data:image/png;base64,${picture.toString('base64')}` }],
  ...more,
})

/** Sound and images by the official OpenAI SDK. */
export const openaiMedia: readonly ClientCalls[] = [
  {
    client,
    endpoint: 'audio.speech',
    hasFewPieces: true,
    plain: (setup, orders, signal) =>
      spoken(setup, { model: 'gpt-4o-mini-tts', voice: 'alloy', input: promptOf(orders) }, signal),
    streamed: (setup, orders, signal) =>
      spokenInEvents(setup, { model: 'gpt-4o-mini-tts', voice: 'alloy', input: promptOf(orders) }, signal),
  },
  {
    client,
    endpoint: 'audio.speech: sold by the character',
    plain: (setup, orders, signal) =>
      spoken(setup, { model: 'tts-1', voice: 'alloy', input: promptOf(orders) }, signal),
  },
  {
    client,
    endpoint: 'audio.transcriptions',
    plain: async (setup, orders, signal) =>
      open(setup).audio.transcriptions.create(
        { model: 'gpt-4o-transcribe', file: await sound(), prompt: promptOf(orders) },
        { signal },
      ),
    streamed: async (setup, orders, signal) =>
      open(setup).audio.transcriptions.create(
        { model: 'gpt-4o-transcribe', file: await sound(), prompt: promptOf(orders), stream: true },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'audio.transcriptions: sold by the second',
    plain: async (setup, orders, signal) =>
      open(setup).audio.transcriptions.create(
        { model: 'whisper-1', file: await sound(), prompt: promptOf(orders) },
        { signal },
      ),
  },
  ...formats.flatMap((format): ClientCalls[] => [
    {
      client,
      endpoint: `audio.transcriptions: as ${format}`,
      isCounted: format !== 'verbose_json',
      plain: async (setup, orders, signal) =>
        open(setup).audio.transcriptions.create(
          { model: 'whisper-1', file: await sound(), prompt: promptOf(orders), response_format: format },
          { signal },
        ),
    },
    {
      client,
      endpoint: `audio.translations: as ${format}`,
      isCounted: format !== 'verbose_json',
      plain: async (setup, orders, signal) =>
        open(setup).audio.translations.create(
          { model: 'whisper-1', file: await sound(), prompt: promptOf(orders), response_format: format },
          { signal },
        ),
    },
  ]),
  {
    client,
    endpoint: 'audio.translations',
    plain: async (setup, orders, signal) =>
      open(setup).audio.translations.create(
        { model: 'whisper-1', file: await sound(), prompt: promptOf(orders) },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'images.generations',
    hasFewPieces: true,
    plain: (setup, orders, signal) =>
      open(setup).images.generate({ model: 'gpt-image-1.5', prompt: promptOf(orders), n: 2 }, { signal }),
    streamed: (setup, orders, signal) =>
      open(setup).images.generate(
        { model: 'gpt-image-1.5', prompt: promptOf(orders), stream: true, partial_images: 3 },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'images.generations: sold by the piece',
    plain: (setup, orders, signal) =>
      open(setup).images.generate(
        { model: 'dall-e-3', prompt: promptOf(orders), quality: 'hd', size: '1792x1024' },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'images.edits',
    hasFewPieces: true,
    plain: async (setup, orders, signal) =>
      open(setup).images.edit({ model: 'gpt-image-1.5', image: await image(), prompt: promptOf(orders) }, { signal }),
    streamed: async (setup, orders, signal) =>
      open(setup).images.edit(
        {
          model: 'gpt-image-1.5',
          image: await image(),
          prompt: promptOf(orders),
          stream: true,
          partial_images: 3,
        },
        { signal },
      ),
  },
  {
    client,
    endpoint: 'images.edits: as JSON',
    hasFewPieces: true,
    plain: (setup, orders, signal) => open(setup).post('/images/edits', { body: editAsJson(orders), signal }),
    streamed: async (setup, orders, signal) => {
      const body = editAsJson(orders, { stream: true, partial_images: 3 })
      return (await open(setup).post('/images/edits', { body, stream: true, signal })) as AsyncIterable<unknown>
    },
  },
  {
    client,
    endpoint: 'images.variations',
    takesNoPrompt: true,
    plain: async (setup, _orders, signal) =>
      open(setup).images.createVariation(
        { model: 'dall-e-2', image: await image(), n: 2, size: '512x512' },
        { signal },
      ),
  },
]
