import type { Call } from '../call.ts'
import type { Directives } from '../directives.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { readOrders } from '../generation.ts'
import { Pace } from '../pace.ts'
import { playStream } from '../play-stream.ts'
import { playWhole } from '../play-whole.ts'
import { errorOfStatus } from '../provider-error.ts'
import { countTokens, cutText, isAlphabet, makeText } from '../tokens.ts'
import { readForm } from './form.ts'
import { readMediaModel } from './media-model.ts'
import { NOTHING_MADE } from './media-prices.ts'
import { MediaProduction, type MediaScript } from './media-production.ts'
import { mediaTrouble, reportMedia } from './media-report.ts'
import { measureSound } from './sound.ts'

const TOKENS_PER_SECOND = 10

/** `POST /v1/audio/transcriptions` */
export function transcriptions(call: Call): Promise<void> {
  return writeDown(call, 'transcribe')
}

/** `POST /v1/audio/translations` */
export function translations(call: Call): Promise<void> {
  return writeDown(call, 'translate')
}

async function writeDown(call: Call, task: 'transcribe' | 'translate'): Promise<void> {
  const form = readForm(call)
  const { model, price } = readMediaModel(call, form.text('model'), 'transcription')
  if (task === 'translate' && model !== 'whisper-1')
    throw errorOfStatus('openai', 400, `Model "${model}" does not translate.`)
  const prompt = form.text('prompt') ?? ''
  const directives = readOrders(call, { userText: prompt })
  const file = form.files.find(({ name }) => name === 'file')
  const milliseconds = file && measureSound(file.bytes)
  if (milliseconds === undefined) throw errorOfStatus('openai', 400, 'The file is no WAV or MP3.')
  const format = form.text('response_format') ?? 'json'
  if (!FORMATS.has(format) || (price.tokens !== undefined && format !== 'json' && format !== 'text'))
    throw errorOfStatus('openai', 400, `Model "${model}" does not answer in ${format}.`)

  const alphabet = directives.text('alphabet') ?? 'latin'
  const seconds = Math.max(1, Math.round(milliseconds / 1_000))
  const text =
    directives.text('text') ??
    makeText(directives.number('output_tokens') ?? 16 + (seconds % 17), isAlphabet(alphabet) ? alphabet : 'latin')
  const script: MediaScript = {
    model,
    price,
    metered: {
      ...NOTHING_MADE,
      text_input: countTokens(prompt),
      audio_input: Math.ceil((milliseconds * TOKENS_PER_SECOND) / 1_000),
      text_output: countTokens(text),
      seconds,
    },
    product: 'text_output',
    quality: '',
    size: '',
  }
  const usage = usageOf(script, directives)
  const streamed = form.text('stream') === 'true' && price.tokens !== undefined
  const production = new MediaProduction(call, script, streamed)
  const pace = new Pace(directives)
  const frames = toEvents(text, usage, directives)
  if (streamed) await playStream({ call, directives, production, pace, frames, trouble: mediaTrouble(directives) })
  else {
    const answer = toAnswer(format, { task, text, milliseconds, usage })
    await playWhole({ call, directives, production, pace, frames, answer })
  }
}

const FORMATS = new Set(['json', 'text', 'srt', 'vtt', 'verbose_json'])

function usageOf({ price, metered }: MediaScript, directives: Directives): object | undefined {
  if (price.tokens === undefined)
    return directives.has('no_usage') ? undefined : { type: 'duration', seconds: metered.seconds }
  return reportMedia(directives, {
    type: 'tokens',
    input_tokens: metered.text_input + metered.audio_input,
    input_token_details: { text_tokens: metered.text_input, audio_tokens: metered.audio_input },
    output_tokens: metered.text_output,
  })
}

interface Transcript {
  readonly task: string
  readonly text: string
  readonly milliseconds: number
  readonly usage: object | undefined
}

/** Only JSON has room for usage; of the verbose one the length of the sound says it. */
function toAnswer(format: string, { task, text, milliseconds, usage }: Transcript): object | string {
  const end = new Date(milliseconds).toISOString().slice(11, 23)
  switch (format) {
    case 'text':
      return `${text}\n`
    case 'srt':
      return `1\n00:00:00,000 --> ${end.replace('.', ',')}\n${text}\n\n`
    case 'vtt':
      return `WEBVTT\n\n00:00:00.000 --> ${end}\n${text}\n\n`
    case 'verbose_json': {
      const duration = milliseconds / 1_000
      const segment = { id: 0, seek: 0, start: 0, end: duration, text, tokens: [1], temperature: 0 }
      const odds = { avg_logprob: -0.1, compression_ratio: 1, no_speech_prob: 0 }
      return { task, language: 'english', duration, text, segments: [{ ...segment, ...odds }] }
    }
    default:
      return { text, ...(usage && { usage }) }
  }
}

function* toEvents(text: string, usage: object | undefined, directives: Directives): Generator<Frame> {
  for (const piece of cutText(text, Math.max(1, directives.number('tokens_per_chunk') ?? 1))) {
    const data = JSON.stringify({ type: 'transcript.text.delta', delta: piece.text })
    yield { sse: namedEvent('transcript.text.delta', data), tokens: piece.tokens }
  }
  const done = JSON.stringify({ type: 'transcript.text.done', text, ...(usage && { usage }) })
  yield { sse: namedEvent('transcript.text.done', done), tokens: 0, closing: true }
}
