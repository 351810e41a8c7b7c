import type { BillRecord } from '../bill.ts'
import type { Directives } from '../directives.ts'
import type { JsonObject } from '../json.ts'
import { Pace } from '../pace.ts'
import { cutText, makeText } from '../tokens.ts'
import { priceRealtime, REALTIME_PRICES, type RealtimeMetered } from './realtime-prices.ts'

/** One spoken token is 50 ms of 16-bit sound at 24 kHz; two are spoken for each that is written. */
const bytesPerSpokenToken = 2_400
const spokenPerWritten = 2

export interface TurnStage {
  readonly model: string
  readonly record: BillRecord
  readonly input: RealtimeMetered
  readonly directives: Directives
  readonly modality: 'text' | 'audio'
  readonly limit: number | undefined
  readonly send: (event: JsonObject) => void
  /** Waits until the reader has room, or the time has passed. */
  readonly pause: (ms: number) => Promise<void>
  readonly drop: () => void
  readonly close: (ended: 'completed' | 'aborted' | 'failed', lines: ReturnType<typeof priceRealtime>) => void
}

/** One realtime response: its events, what they use, and how it ends. */
export class RealtimeTurn {
  readonly id: string
  readonly #stage: TurnStage
  readonly #item: string
  #text = 0
  #audio = 0
  #cancelled: string | undefined
  #ended = false

  constructor(id: string, stage: TurnStage) {
    this.id = id
    this.#stage = stage
    this.#item = `item_${id}`
    stage.record.response_id = id
    stage.record.model = stage.model
    stage.record.streamed = true
    stage.record.http_status = 200
  }

  /** Ends it at the next event: the client asked, or speaks into it. */
  cancel(reason: 'client_cancelled' | 'turn_detected'): void {
    this.#cancelled ??= reason
  }

  /** The socket is gone: what was produced is charged. */
  abort(ended: 'aborted' | 'failed' = 'aborted'): void {
    if (this.#ended) return
    this.#ended = true
    const { record } = this.#stage
    record.abort_seen_at_ms = Date.now()
    this.#close(ended)
  }

  /** @returns tokens written and spoken */
  async play(): Promise<{ text: number; audio: number }> {
    const { directives, modality, limit, send, pause } = this.#stage
    const pace = new Pace(directives)
    const wanted = directives.number('output_tokens') ?? 16
    const written = Math.min(wanted, limit ?? wanted)
    const status = written < wanted ? 'incomplete' : 'completed'
    const dropAt = directives.has('drop') ? (directives.number('at') ?? 0) : undefined
    let silence = directives.has('silence') ? (directives.number('silence_ms') ?? 1_000) : 0
    const place = { response_id: this.id, item_id: this.#item, output_index: 0, content_index: 0 }
    this.#tell({ type: 'response.created', response: this.#response('in_progress', false) })
    this.#tell({
      type: 'response.output_item.added',
      response_id: this.id,
      output_index: 0,
      item: { id: this.#item, object: 'realtime.item', type: 'message', role: 'assistant', content: [] },
    })
    if (directives.has('unknown')) send({ type: 'response.future_thing', response_id: this.id, x: [1, null] })
    for (const piece of cutText(makeText(written), Math.max(1, directives.number('tokens_per_chunk') ?? 1))) {
      const wait = pace.next()
      if (wait > 0) await pause(wait)
      if (silence > 0 && this.#text >= (directives.number('at') ?? 0)) {
        await pause(silence)
        silence = 0
      }
      if (this.#ended) return { text: this.#text, audio: this.#audio }
      if (this.#cancelled !== undefined) break
      if (dropAt !== undefined && this.#text >= dropAt) {
        this.abort('failed')
        this.#stage.drop()
        return { text: this.#text, audio: this.#audio }
      }
      if (directives.has('error') && this.#text >= (directives.number('at') ?? 0)) return this.#fail()
      this.#text += piece.tokens
      if (modality === 'text') this.#tell({ type: 'response.output_text.delta', ...place, delta: piece.text })
      else {
        const spoken = piece.tokens * spokenPerWritten
        this.#audio += spoken
        this.#tell({ type: 'response.output_audio_transcript.delta', ...place, delta: piece.text })
        const delta = Buffer.alloc(spoken * bytesPerSpokenToken, 1).toString('base64')
        this.#tell({ type: 'response.output_audio.delta', ...place, delta })
      }
    }
    if (directives.has('truncate')) {
      this.#ended = true
      this.#close('failed')
      return { text: this.#text, audio: this.#audio }
    }
    this.#end(this.#cancelled === undefined ? status : 'cancelled')
    return { text: this.#text, audio: this.#audio }
  }

  #fail(): { text: number; audio: number } {
    this.#end('failed')
    return { text: this.#text, audio: this.#audio }
  }

  #end(status: string): void {
    this.#ended = true
    this.#close(status === 'failed' ? 'failed' : 'completed')
    this.#tell({ type: 'response.done', response: this.#response(status, true) })
  }

  #metered(): RealtimeMetered {
    return { ...this.#stage.input, text_output: this.#text, audio_output: this.#audio }
  }

  #close(ended: 'completed' | 'aborted' | 'failed'): void {
    const { record, model, close } = this.#stage
    record.generated_output_tokens = this.#text + this.#audio
    close(ended, priceRealtime(REALTIME_PRICES[model] ?? {}, this.#metered()))
  }

  #tell(event: JsonObject): void {
    this.#stage.send(event)
    if (this.#stage.directives.has('duplicate')) this.#stage.send(event)
  }

  #response(status: string, isDone: boolean): JsonObject {
    const { directives } = this.#stage
    return {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details:
        status === 'cancelled'
          ? { type: 'cancelled', reason: this.#cancelled }
          : status === 'incomplete'
            ? { type: 'incomplete', reason: 'max_output_tokens' }
            : status === 'failed'
              ? { type: 'failed', error: { type: 'server_error', code: null } }
              : null,
      output: [],
      usage: isDone && !directives.has('no_usage') ? usageOf(this.#metered(), directives.has('wrong_usage')) : null,
    }
  }
}

function usageOf(metered: RealtimeMetered, isWrong: boolean): JsonObject {
  const text = metered.text_fresh + metered.text_from_cache
  const audio = metered.audio_fresh + metered.audio_from_cache
  const image = metered.image_fresh + metered.image_from_cache
  const cached = metered.text_from_cache + metered.audio_from_cache + metered.image_from_cache
  const wrong = isWrong ? text + 1 : 0
  const output = metered.text_output + metered.audio_output
  return {
    total_tokens: text + wrong + audio + image + output,
    input_tokens: text + wrong + audio + image,
    output_tokens: output,
    input_token_details: {
      text_tokens: text + wrong,
      audio_tokens: audio,
      image_tokens: image,
      cached_tokens: cached,
      cached_tokens_details: {
        text_tokens: metered.text_from_cache,
        audio_tokens: metered.audio_from_cache,
        image_tokens: metered.image_from_cache,
      },
    },
    output_token_details: { text_tokens: metered.text_output, audio_tokens: metered.audio_output },
  }
}
