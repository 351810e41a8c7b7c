import type { IncomingHttpHeaders } from 'node:http'
import type { BillRecord } from '../bill.ts'
import { DirectiveError, readDirectives } from '../directives.ts'
import { asCount, asList, asObject, asText, isObject, type JsonObject } from '../json.ts'
import type { SimulatorState } from '../server.ts'
import { Conversation } from './conversation.ts'
import {
  NOTHING_SAID,
  priceRealtime,
  REALTIME_PRICES,
  type RealtimeMetered,
  TRANSCRIPTION_PRICES,
} from './realtime-prices.ts'
import { RealtimeTurn } from './realtime-turn.ts'

/** Where a session's events go. Several listen where a call has a sideband. */
export interface Listener {
  readonly send: (text: string) => void
  readonly drop: () => void
  readonly isFull: () => boolean
}

/** With `server_vad` this much sound is a turn: the simulator has no ear. */
const msOfATurn = 1_000

/** A realtime session: what clients send in, what all of them hear, and its bill. */
export class RealtimeSession {
  readonly #state: Pick<SimulatorState, 'bill' | 'log'>
  readonly #about: { id: string; headers: IncomingHttpHeaders; credentialSha256: string; isTranscription: boolean }
  readonly #listeners = new Set<Listener>()
  readonly #conversation = new Conversation()
  #session: JsonObject
  #bufferMs = 0
  #events = 0
  #turns = 0
  #items = 0
  #running: RealtimeTurn | undefined

  constructor(
    state: Pick<SimulatorState, 'bill' | 'log'>,
    about: {
      id: string
      headers: IncomingHttpHeaders
      credentialSha256: string
      model: string | undefined
      config?: JsonObject
    },
  ) {
    this.#state = state
    this.#about = { ...about, isTranscription: about.model === undefined }
    this.#session = {
      object: 'realtime.session',
      id: `sess_${about.id}`,
      type: about.model === undefined ? 'transcription' : 'realtime',
      ...(about.model === undefined ? {} : { model: about.model, output_modalities: ['audio'] }),
      audio: { input: { format: { type: 'audio/pcm', rate: 24_000 }, turn_detection: null, transcription: null } },
    }
    if (about.config !== undefined) this.#configure(about.config)
  }

  static serves(model: string): boolean {
    return REALTIME_PRICES[model] !== undefined
  }

  join(listener: Listener): void {
    this.#listeners.add(listener)
    listener.send(JSON.stringify(this.#numbered({ type: 'session.created', session: this.#session })))
  }

  /** The last one to leave ends what runs. */
  leave(listener: Listener): void {
    this.#listeners.delete(listener)
    if (this.#listeners.size === 0) this.#running?.abort()
  }

  end(): void {
    this.#running?.abort()
    for (const listener of this.#listeners) listener.drop()
  }

  receive(data: Buffer): void {
    const event = parse(data)
    try {
      if (event === undefined) this.#error('invalid_request_error', 'No JSON event.', undefined)
      else this.#onEvent(event)
    } catch (error) {
      if (!(error instanceof DirectiveError)) this.#state.log('the simulator failed', { err: error })
      this.#error('invalid_request_error', error instanceof Error ? error.message : 'failed', event)
    }
  }

  #onEvent(event: JsonObject): void {
    switch (event.type) {
      case 'session.update':
        this.#configure(asObject(event.session))
        this.#send({ type: 'session.updated', session: this.#session })
        return
      case 'input_audio_buffer.append':
        this.#bufferMs += this.#conversation.msOf(asText(event.audio) ?? '')
        this.#detectTurn()
        return
      case 'input_audio_buffer.clear':
        this.#bufferMs = 0
        this.#send({ type: 'input_audio_buffer.cleared' })
        return
      case 'input_audio_buffer.commit':
        if (this.#bufferMs === 0) {
          this.#error('invalid_request_error', 'The buffer is empty.', event, 'input_audio_buffer_commit_empty')
          return
        }
        this.#commit()
        return
      case 'conversation.item.create': {
        this.#items += 1
        const item = asObject(event.item)
        this.#conversation.addItem(item)
        this.#send({
          type: 'conversation.item.added',
          previous_item_id: null,
          item: { ...item, id: asText(item.id) ?? `item_${this.#about.id}_${this.#items}` },
        })
        return
      }
      case 'response.cancel':
        if (!this.#running) {
          this.#error('invalid_request_error', 'Nothing to cancel.', event, 'response_cancel_not_active')
          return
        }
        this.#running.cancel('client_cancelled')
        return
      case 'response.create':
        return void this.#respond(asObject(event.response), event)
      default:
        this.#error('invalid_request_error', `The simulator does not know "${event.type}".`, event)
        return
    }
  }

  #configure(update: JsonObject): void {
    const audio = asObject(this.#session.audio)
    const newAudio = asObject(update.audio)
    this.#session = {
      ...this.#session,
      ...update,
      ...(this.#about.isTranscription ? {} : { model: this.#session.model }),
      audio: {
        ...audio,
        ...newAudio,
        input: { ...asObject(audio.input), ...asObject(newAudio.input) },
      },
    }
    if (typeof update.instructions === 'string') this.#conversation.instructions = update.instructions
    this.#conversation.setFormat(this.#input.format)
  }

  get #input(): JsonObject {
    return asObject(asObject(this.#session.audio).input)
  }

  /** Speech ends when there is enough of it; the model answers by itself unless it is told not to. */
  #detectTurn(): void {
    const detection = this.#input.turn_detection
    if (!isObject(detection) || this.#bufferMs < msOfATurn) return
    this.#send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: 'next' })
    this.#running?.cancel('turn_detected')
    this.#send({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: this.#bufferMs, item_id: 'next' })
    this.#commit()
    if (detection.create_response !== false) void this.#respond({}, undefined)
  }

  #commit(): void {
    this.#items += 1
    const itemId = `item_${this.#about.id}_${this.#items}`
    const ms = this.#bufferMs
    this.#bufferMs = 0
    this.#conversation.addAudio(ms)
    this.#send({ type: 'input_audio_buffer.committed', previous_item_id: null, item_id: itemId })
    const model = asText(asObject(this.#input.transcription).model)
    if (model !== undefined) this.#transcribe(model, itemId, ms)
  }

  #transcribe(model: string, itemId: string, ms: number): void {
    const rates = TRANSCRIPTION_PRICES[model]
    const place = { item_id: itemId, content_index: 0 }
    if (rates === undefined) {
      this.#send({
        type: 'conversation.item.input_audio_transcription.failed',
        ...place,
        error: { type: 'invalid_request_error', message: `The simulator has no "${model}".` },
      })
      return
    }
    const record = this.#openRecord('/v1/realtime/transcription', model)
    record.response_id = itemId
    const isTimed = rates.audio_ms !== undefined
    const spoken = Math.ceil(ms / 100)
    const written = 4 + Math.ceil(ms / 1_000)
    const metered: RealtimeMetered = isTimed
      ? { ...NOTHING_SAID, audio_ms: ms }
      : { ...NOTHING_SAID, audio_fresh: spoken, text_output: written }
    this.#state.bill.closeAt(record, 'completed', priceRealtime(rates, metered))
    this.#send({ type: 'conversation.item.input_audio_transcription.delta', ...place, delta: 'Sim:' })
    this.#send({
      type: 'conversation.item.input_audio_transcription.completed',
      ...place,
      transcript: 'Sim: sea',
      usage: isTimed
        ? { type: 'duration', seconds: ms / 1_000 }
        : {
            type: 'tokens',
            total_tokens: spoken + written,
            input_tokens: spoken,
            input_token_details: { text_tokens: 0, audio_tokens: spoken },
            output_tokens: written,
          },
    })
  }

  async #respond(asked: JsonObject, event: JsonObject | undefined): Promise<void> {
    const model = asText(this.#session.model)
    if (model === undefined)
      return this.#error('invalid_request_error', 'A transcription session does not answer.', event)
    const active = this.#running
    if (active && event !== undefined)
      return this.#error(
        'invalid_request_error',
        `Conversation already has an active response in progress: ${active.id}.`,
        event,
        'conversation_already_has_active_response',
      )
    const instructions = asText(asked.instructions) ?? ''
    const heard = Array.isArray(asked.input) ? this.#conversation.apart(asked.input) : this.#conversation
    const ordered =
      [instructions, heard.userText, this.#conversation.userText, this.#conversation.instructions].find(text =>
        text.includes('[[sim '),
      ) ?? ''
    const directives = readDirectives(this.#about.headers, ordered)
    const status = directives.number('status')
    if (status !== undefined)
      return this.#error('server_error', 'The simulator was told to fail.', event, directives.text('error_code'))
    while (this.#running) await new Promise(resolve => setTimeout(resolve, 1))
    this.#turns += 1
    const record = this.#openRecord('/v1/realtime', model)
    const modalities = asList(asked.output_modalities ?? this.#session.output_modalities)
    const turn = new RealtimeTurn(`resp_${this.#about.id}_${this.#turns}`, {
      model,
      record,
      input: heard.beginTurn(instructions),
      directives,
      modality: modalities.includes('audio') ? 'audio' : 'text',
      limit: asCount(asked.max_output_tokens),
      send: told => this.#send(told),
      pause: ms => this.#pause(ms),
      drop: () => this.end(),
      close: (ended, lines) => this.#state.bill.closeAt(record, ended, lines),
    })
    this.#running = turn
    const said = await turn.play()
    this.#running = undefined
    if (asked.conversation !== 'none') this.#conversation.endTurn(said.text, said.audio)
  }

  async #pause(ms: number): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, ms))
    while ([...this.#listeners].some(listener => listener.isFull()))
      await new Promise(resolve => setTimeout(resolve, 5))
  }

  #openRecord(endpoint: string, model: string): BillRecord {
    const record = this.#state.bill.open({
      billId: `${this.#about.id}_${++this.#events}`,
      credentialSha256: this.#about.credentialSha256,
      dialect: 'openai',
      endpoint,
    })
    record.model = model
    return record
  }

  #error(type: string, message: string, event: JsonObject | undefined, code: string | undefined = undefined): void {
    this.#send({
      type: 'error',
      error: { type, code: code ?? null, message, param: null, event_id: asText(event?.event_id) ?? null },
    })
  }

  #numbered(event: JsonObject): JsonObject {
    this.#events += 1
    const { type, ...rest } = event
    return { type, event_id: `event_${this.#about.id}_${this.#events}`, ...rest }
  }

  #send(event: JsonObject): void {
    const text = JSON.stringify(this.#numbered(event))
    for (const listener of this.#listeners) listener.send(text)
  }
}

function parse(data: Buffer): JsonObject | undefined {
  try {
    const event: unknown = JSON.parse(data.toString())
    return isObject(event) ? event : undefined
  } catch {
    return undefined
  }
}
