import type OpenAI from 'openai'
import { toFile } from 'openai'
import { pictureOf, soundOf } from './files.ts'

/** What the official client is asked to do, and whether its provider tells what that used. */
export interface MediaCall {
  name: string
  ask: (client: OpenAI, options: OpenAI.RequestOptions) => Promise<unknown>
  /** Nothing is told: what is recorded is counted here, and equal all the same. */
  isEstimated?: true
}

const wav = soundOf('wav', 12_200)
const mp3 = soundOf('mp3', 12_240)
const picture = pictureOf()

const speech =
  (body: Partial<OpenAI.Audio.SpeechCreateParams>): MediaCall['ask'] =>
  async (client, options) => {
    const answer = await client.audio.speech.create(
      { model: 'gpt-4o-mini-tts', voice: 'alloy', input: 'Good morning, Grüße 🙂.', ...body },
      options,
    )
    return Buffer.from(await answer.arrayBuffer())
  }

const transcript =
  (body: Record<string, unknown>, sound = wav): MediaCall['ask'] =>
  async (client, options) =>
    drained(
      await client.audio.transcriptions.create(
        { model: 'whisper-1', prompt: 'Words of the sea', ...body, file: await toFile(sound, 'a.wav') } as never,
        options,
      ),
    )

const translation =
  (format: string | undefined): MediaCall['ask'] =>
  async (client, options) =>
    client.audio.translations.create(
      { model: 'whisper-1', file: await toFile(mp3, 'a.mp3'), ...(format && { response_format: format as 'json' }) },
      options,
    )

const image =
  (body: Record<string, unknown>): MediaCall['ask'] =>
  async (client, options) =>
    drained(await client.images.generate({ model: 'gpt-image-1.5', prompt: 'A sea', ...body } as never, options))

const edit =
  (body: Record<string, unknown>): MediaCall['ask'] =>
  async (client, options) => {
    const given = await toFile(picture, 'a.png', { type: 'image/png' })
    const asked = { model: 'gpt-image-1.5', prompt: 'A calm sea', image: [given, given], ...body }
    return drained(await client.images.edit(asked as never, options))
  }

async function drained(answer: unknown): Promise<unknown> {
  if (answer === null || typeof answer !== 'object' || !(Symbol.asyncIterator in answer)) return answer
  const events: unknown[] = []
  for await (const event of answer as AsyncIterable<unknown>) events.push(event)
  return events
}

/** Every path of sound and images, streamed and plain, in every format. */
export const mediaCalls: readonly MediaCall[] = [
  { name: 'speech by the character', ask: speech({ model: 'tts-1' }) },
  { name: 'speech by the character, high definition, WAV', ask: speech({ model: 'tts-1-hd', response_format: 'wav' }) },
  { name: 'speech by the token', ask: speech({ instructions: 'Slowly.' }) },
  { name: 'speech by the token, PCM', ask: speech({ response_format: 'pcm', stream_format: 'audio' }) },
  { name: 'speech by the token, in events', ask: speech({ stream_format: 'sse' }) },
  { name: 'speech by the token, a dated model', ask: speech({ model: 'gpt-4o-mini-tts-2025-12-15' }) },
  { name: 'transcript by the minute', ask: transcript({}) },
  { name: 'transcript by the minute, of an MP3', ask: transcript({}, mp3) },
  { name: 'transcript by the minute, verbose', ask: transcript({ response_format: 'verbose_json' }) },
  { name: 'transcript by the minute, text', ask: transcript({ response_format: 'text' }), isEstimated: true },
  { name: 'transcript by the minute, SRT', ask: transcript({ response_format: 'srt' }, mp3), isEstimated: true },
  { name: 'transcript by the minute, VTT', ask: transcript({ response_format: 'vtt' }), isEstimated: true },
  { name: 'transcript by the minute, a newer model', ask: transcript({ model: 'gpt-transcribe' }) },
  { name: 'transcript by the token', ask: transcript({ model: 'gpt-4o-transcribe' }) },
  { name: 'transcript by the token, in events', ask: transcript({ model: 'gpt-4o-transcribe', stream: true }) },
  { name: 'transcript by the token, a smaller model', ask: transcript({ model: 'gpt-4o-mini-transcribe' }, mp3) },
  { name: 'translation', ask: translation(undefined) },
  { name: 'translation, verbose', ask: translation('verbose_json') },
  { name: 'translation, text', ask: translation('text'), isEstimated: true },
  { name: 'translation, SRT', ask: translation('srt'), isEstimated: true },
  { name: 'translation, VTT', ask: translation('vtt'), isEstimated: true },
  { name: 'image by the token', ask: image({ n: 2, quality: 'low', size: '1024x1536' }) },
  {
    name: 'image by the token, size and quality left open',
    ask: image({ model: 'gpt-image-2.6-sunburst', size: 'auto' }),
  },
  { name: 'image in events, with partial ones', ask: image({ stream: true, partial_images: 3, quality: 'high' }) },
  { name: 'image in events, without partial ones', ask: image({ model: 'gpt-image-1-mini', stream: true }) },
  { name: 'image by the piece', ask: image({ model: 'dall-e-3', quality: 'hd', size: '1792x1024' }) },
  { name: 'images by the piece', ask: image({ model: 'dall-e-2', n: 3, size: '256x256' }) },
  { name: 'edit', ask: edit({ n: 2, quality: 'low' }) },
  { name: 'edit in events, with a partial image', ask: edit({ stream: true, partial_images: 1 }) },
  {
    name: 'variation by the piece',
    ask: async (client, options) =>
      client.images.createVariation(
        { model: 'dall-e-2', image: await toFile(picture, 'a.png', { type: 'image/png' }), n: 2, size: '512x512' },
        options,
      ),
  },
]
