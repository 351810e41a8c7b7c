import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { makeSound } from '../media/sound.ts'
import type { SimPrice } from '../prices.ts'
import { errorOfStatus } from '../provider-error.ts'
import { countTokens } from '../tokens.ts'

/** A token of sound is a twentieth of a second; a token of text takes two of them to say. */
const MS_PER_TOKEN = 50
export const SPOKEN_PER_WRITTEN = 2
const EXPIRES_AFTER_SECONDS = 3_600

/** Formats of spoken chats, by what they are called elsewhere. */
const FORMATS: { readonly [format: string]: string } = { wav: 'wav', mp3: 'mp3', pcm16: 'pcm' }

/** How a chat is answered in sound. */
export interface Voice {
  readonly format: string
}

/** The voice that a request asks for, if it does; throws where it cannot have it. */
export function readVoice(body: JsonObject, { sound }: SimPrice): Voice | undefined {
  if (!asList(body.modalities).includes('audio')) return undefined
  if (sound === undefined) throw errorOfStatus('openai', 400, 'This model does not speak.')
  const asked = asObject(body.audio)
  const format = FORMATS[asText(asked.format) ?? '']
  if (asText(asked.voice) === undefined || format === undefined)
    throw errorOfStatus('openai', 400, 'A spoken answer needs "audio" with a voice and a format: wav, mp3 or pcm16.')
  if (body.stream === true && format !== 'pcm') throw errorOfStatus('openai', 400, 'A stream is spoken in pcm16 only.')
  return { format }
}

/** What a text sounds like. */
export function speak({ format }: Voice, text: string): Buffer {
  return makeSound(format, countTokens(text) * SPOKEN_PER_WRITTEN * MS_PER_TOKEN)
}

/** The `audio` of a message. */
export function spokenMessage(voice: Voice, text: string, about: { id: string; created: number }): object {
  return {
    id: about.id,
    data: speak(voice, text).toString('base64'),
    expires_at: about.created + EXPIRES_AFTER_SECONDS,
    transcript: text,
  }
}

/** The `audio` of the deltas of a stream: the words, and then the sound of them, piece by piece. */
export function* spokenDeltas(
  voice: Voice,
  pieces: Iterable<{ readonly text: string; readonly tokens: number }>,
  about: { id: string; created: number },
): Generator<{ readonly audio: object; readonly tokens: number; readonly sound: number }> {
  const { id } = about
  for (const { text, tokens } of pieces) {
    yield { audio: { id, transcript: text }, tokens, sound: 0 }
    const sound = tokens * SPOKEN_PER_WRITTEN
    const data = makeSound(voice.format, sound * MS_PER_TOKEN).toString('base64')
    yield { audio: { id, data }, tokens: sound, sound }
  }
  yield { audio: { id, expires_at: about.created + EXPIRES_AFTER_SECONDS }, tokens: 0, sound: 0 }
}
