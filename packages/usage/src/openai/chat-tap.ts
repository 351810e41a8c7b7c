import { estimateTokens } from '../estimate.ts'
import { isObject, type JsonObject, listOf, objectOf, parseJson, textOf } from '../json-fields.ts'
import { SseFramer, sseData } from '../sse-framer.ts'
import { observeData, type StreamTap, type UsageEstimate } from '../stream-tap.ts'
import { TextSample } from '../text-sample.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { fromChatCompletion, withSearch } from './chat-completion.ts'
import { base64Bytes, spokenTokens } from './realtime-audio.ts'
import { totalTold } from './token-usage.ts'

export interface ChatTapOptions {
  /** The model asked for; replaced by the one the chunks name. */
  model: string
  /** The client did not ask for usage: the final chunk without choices is kept from it. */
  withholdUsageChunk?: boolean
}

/** What a clean end of a chat stream needs. */
export interface ChatState {
  readonly id: string | undefined
  readonly model: string
  readonly created: number | undefined
  readonly choices: readonly ChatChoice[]
}

export interface ChatChoice {
  readonly index: number
  /** null: still open. */
  readonly finishReason: string | null
  /** The last delta was part of a tool call, which must not be closed as if it were whole. */
  readonly inToolCall: boolean
}

/** Watches a chat completion stream (or a legacy completion stream). */
export interface ChatTap extends StreamTap {
  readonly state: ChatState
}

export function openChatTap(options: ChatTapOptions): ChatTap {
  return new ChatStreamTap(options)
}

interface OpenChoice {
  index: number
  finishReason: string | null
  inToolCall: boolean
}

const bytesPerMs = 48
/** A partial event longer than this is no usage chunk. */
const maxHeldBytes = 256 * 1024
const nothing: readonly Uint8Array[] = []

class ChatStreamTap implements ChatTap {
  readonly #framer = new SseFramer()
  readonly #withhold: boolean
  readonly #choices = new Map<number, OpenChoice>()
  #id: string | undefined
  #model: string
  #created: number | undefined
  #serviceTier: string | undefined
  #usage: JsonObject | undefined
  /** Tokens that `#usage` tells. */
  #told = 0
  #shrank = false
  #started = false
  #lastEventIsUsage = false
  /** Bytes of the event under way that the client has not got. */
  #held: Uint8Array[] = []
  /** The event under way has begun to reach the client. */
  #passing = false
  readonly #text = new TextSample()
  /** Of sound, which streams carry as samples of two bytes at 24 kHz. */
  #audioBytes = 0
  ended = false
  failed = false

  constructor(options: ChatTapOptions) {
    this.#model = options.model
    this.#withhold = options.withholdUsageChunk ?? false
  }

  get outputBytes(): number {
    return this.#text.bytes
  }

  get outputPieces(): number {
    return this.#text.pieces
  }

  get outputSample(): string {
    return this.#text.beginning
  }

  get atEventBoundary(): boolean {
    return this.#framer.atEventBoundary
  }

  get measured(): boolean {
    return this.#usage !== undefined
  }

  get state(): ChatState {
    return { id: this.#id, model: this.#model, created: this.#created, choices: [...this.#choices.values()] }
  }

  write(chunk: Uint8Array): number {
    return this.#framer.push(chunk, this.#onEvent)
  }

  eventEndIn(chunk: Uint8Array): number {
    return this.#framer.eventEndIn(chunk)
  }

  forward(chunk: Uint8Array): readonly Uint8Array[] {
    if (!this.#withhold) {
      this.write(chunk)
      return [chunk]
    }
    const out: Uint8Array[] = []
    let sent = 0
    let sentTo = 0
    const last = this.#framer.push(chunk, (event, end) => {
      this.#onEvent(event)
      if (this.#lastEventIsUsage && !this.#passing) {
        // Everything before this event goes out; the event itself does not.
        if (sentTo > sent) out.push(chunk.subarray(sent, sentTo))
        this.#held = []
        sent = end
      } else if (this.#held.length > 0) {
        out.push(...this.#held)
        this.#held = []
      }
      this.#passing = false
      sentTo = end
    })
    if (last > sent) out.push(chunk.subarray(sent, last))
    // A view would keep all of its chunk in memory until the event's end has come.
    if (last < chunk.length) this.#holdOrPass(last === 0 ? chunk : Buffer.from(chunk.subarray(last)), out)
    return out
  }

  flush(): readonly Uint8Array[] {
    if (this.#held.length === 0) return nothing
    const held = this.#held
    this.#held = []
    this.#passing = true
    return held
  }

  /** Only whole events pass, so that the stream can end between two of them; one too large to keep passes as it comes. */
  #holdOrPass(rest: Uint8Array, out: Uint8Array[]): void {
    this.#passing ||= this.#framer.partial.length > maxHeldBytes
    if (!this.#passing) {
      this.#held.push(rest)
      return
    }
    out.push(...this.#held, rest)
    this.#held = []
  }

  #onEvent = (event: Buffer): void => {
    const data = sseData(event)
    this.#lastEventIsUsage = false
    if (data === undefined) return
    // Of two events in one the second may be the client's: both pass.
    if (!observeData(data, line => this.observe(line))) this.#lastEventIsUsage = false
  }

  observe(data: string): void {
    if (data === '[DONE]') {
      this.ended = true
      return
    }
    const chunk = parseJson(data)
    if (!isObject(chunk)) return
    if (isObject(chunk.error)) this.failed = true
    this.#id ??= textOf(chunk.id)
    if (typeof chunk.created === 'number') this.#created ??= chunk.created
    this.#model = textOf(chunk.model) ?? this.#model
    this.#serviceTier = textOf(chunk.service_tier) ?? this.#serviceTier
    const choices = chunk.choices
    if (Array.isArray(choices)) for (const choice of choices) this.#onChoice(objectOf(choice))
    if (isObject(chunk.usage)) {
      // Sent once at the end, or cumulative in every chunk: the highest is the whole.
      const told = totalTold(chunk.usage)
      if (told < this.#told) this.#shrank = true
      else this.#usage = chunk.usage
      this.#told = Math.max(told, this.#told)
      this.#lastEventIsUsage = Array.isArray(choices) && choices.length === 0
    }
  }

  #onChoice(choice: JsonObject): void {
    this.#started = true
    const index = typeof choice.index === 'number' ? choice.index : 0
    let open = this.#choices.get(index)
    if (!open) {
      open = { index, finishReason: null, inToolCall: false }
      // As many as a request can ask for, and no more.
      if (this.#choices.size < 256) this.#choices.set(index, open)
    }
    const delta = objectOf(choice.delta)
    this.#count(delta.content)
    this.#count(delta.reasoning_content)
    this.#count(delta.reasoning)
    this.#count(delta.refusal)
    const audio = objectOf(delta.audio)
    this.#count(audio.transcript)
    if (typeof audio.data === 'string') this.#audioBytes += base64Bytes(audio.data.length)
    // Legacy completions have the text beside the choice.
    this.#count(choice.text)
    const calls = listOf(delta.tool_calls)
    for (const call of calls) this.#countFunction(objectOf(call))
    if (isObject(delta.function_call)) this.#countFunction({ function: delta.function_call })
    if (calls.length > 0 || isObject(delta.function_call)) open.inToolCall = true
    else if (typeof delta.content === 'string') open.inToolCall = false
    const finish = textOf(choice.finish_reason)
    if (finish !== undefined) {
      open.finishReason = finish
      open.inToolCall = false
    }
  }

  #countFunction(call: JsonObject): void {
    const details = objectOf(call.function ?? call.custom)
    this.#count(details.name)
    this.#count(details.arguments)
    this.#count(details.input)
  }

  #count(text: unknown): void {
    if (typeof text === 'string') this.#text.add(text)
  }

  usage(estimate: UsageEstimate = {}): UsageResult {
    const result = fromChatCompletion({
      id: this.#id,
      model: this.#model,
      service_tier: this.#serviceTier,
      usage: this.#usage,
      choices: [...this.#choices.values()].map(choice => ({ finish_reason: choice.finishReason })),
    })
    if (this.#shrank) result.shrank = true
    if (this.#usage || !this.#started) return result
    const estimated = {
      in_text: estimate.inputTokens ?? 0,
      in_audio: estimate.inputAudioTokens ?? 0,
      out_text: estimate.outputTokens ?? estimateTokens(this.outputBytes),
      out_audio: spokenTokens(Math.ceil(this.#audioBytes / bytesPerMs)),
    }
    return { ...result, ...withSearch(measuredAs(estimated, 'estimated'), result.served_model) }
  }
}
