import { type Call, replyHeaders } from '../call.ts'
import type { Directives } from '../directives.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { readOrders } from '../generation.ts'
import { asText } from '../json.ts'
import { Pace } from '../pace.ts'
import { playStream } from '../play-stream.ts'
import { errorOfStatus, ProviderError } from '../provider-error.ts'
import { ReplySink, readByteFaults } from '../reply-sink.ts'
import { countTokens } from '../tokens.ts'
import { readMediaModel } from './media-model.ts'
import { NOTHING_MADE } from './media-prices.ts'
import { MediaProduction, type MediaScript } from './media-production.ts'
import { mediaTrouble, reportMedia } from './media-report.ts'
import { makeSound, SOUND_TYPES } from './sound.ts'

/** A token is a twentieth of a second; a token of text takes five of them to say. */
const MS_PER_TOKEN = 50
const SPOKEN_PER_WRITTEN = 5
const TOKENS_PER_CHUNK = 10

/** `POST /v1/audio/speech` */
export async function speech(call: Call): Promise<void> {
  const { body } = call
  const input = asText(body.input)
  const { model, price } = readMediaModel(call, asText(body.model), 'speech')
  if (input === undefined || input === '') throw errorOfStatus('openai', 400, 'The request has no input.')
  const format = asText(body.response_format) ?? 'mp3'
  const type = SOUND_TYPES[format]
  if (type === undefined) throw errorOfStatus('openai', 400, `The simulator does not speak in ${format}.`)
  const inEvents = body.stream_format === 'sse'
  if (inEvents && price.tokens === undefined)
    throw new ProviderError(400, 'invalid_request_error', `Model "${model}" does not speak in events.`)
  const directives = readOrders(call, { userText: input })

  const written = countTokens(input) + countTokens(asText(body.instructions) ?? '')
  const spoken = directives.number('output_tokens') ?? countTokens(input) * SPOKEN_PER_WRITTEN
  const script: MediaScript = {
    model,
    price,
    metered: {
      ...NOTHING_MADE,
      text_input: directives.number('input_tokens') ?? written,
      audio_output: spoken,
      characters: [...input].length,
    },
    product: 'audio_output',
    quality: '',
    size: '',
  }
  const pieces = cutSound(makeSound(format, spoken * MS_PER_TOKEN), spoken, directives)
  const production = new MediaProduction(call, script, inEvents)
  const pace = new Pace(directives)
  if (inEvents) {
    const frames = toEvents(pieces, script, directives)
    await playStream({ call, directives, production, pace, frames, trouble: mediaTrouble(directives) })
  } else await playSound(call, directives, production, pace, pieces, type)
}

interface Piece {
  readonly bytes: Buffer
  readonly tokens: number
}

function* cutSound(sound: Buffer, tokens: number, directives: Directives): Generator<Piece> {
  const step = Math.max(1, directives.number('tokens_per_chunk') ?? TOKENS_PER_CHUNK)
  for (let from = 0; from < tokens; from += step) {
    const to = Math.min(tokens, from + step)
    const place = (token: number) => Math.floor((sound.length * token) / tokens)
    yield { bytes: sound.subarray(place(from), place(to)), tokens: to - from }
  }
}

function* toEvents(pieces: Iterable<Piece>, { metered }: MediaScript, directives: Directives): Generator<Frame> {
  for (const { bytes, tokens } of pieces) {
    const data = JSON.stringify({ type: 'speech.audio.delta', audio: bytes.toString('base64') })
    yield { sse: namedEvent('speech.audio.delta', data), tokens }
  }
  const usage = reportMedia(directives, { input_tokens: metered.text_input, output_tokens: metered.audio_output })
  const done = JSON.stringify({ type: 'speech.audio.done', ...(usage && { usage }) })
  yield { sse: namedEvent('speech.audio.done', done), tokens: 0, closing: true }
}

/** Sound alone, as it is made; its length is not known before. */
async function playSound(
  call: Call,
  directives: Directives,
  production: MediaProduction,
  pace: Pace,
  pieces: Iterable<Piece>,
  type: string,
): Promise<void> {
  if (directives.has('overloaded')) throw errorOfStatus('openai', 503, 'The simulated engine is overloaded.')
  if (directives.has('error')) throw errorOfStatus('openai', 500, 'The simulated engine failed.')
  call.reply.writeHead(200, { 'content-type': type, ...replyHeaders(call) })
  if (!pace.isInstant) call.reply.flushHeaders()
  const sink = new ReplySink(call.reply, readByteFaults(directives), () => production.end('failed'))
  if (directives.has('silence')) await production.pause(directives.number('silence_ms') ?? 1_000)
  for (const piece of pieces) {
    const wait = pace.next()
    if (wait > 0) await production.pause(wait)
    if (production.ended) return
    production.produce(piece)
    await sink.write(piece.bytes)
    if (production.ended || sink.dropped) return
  }
  production.end('completed')
  call.reply.end()
}
