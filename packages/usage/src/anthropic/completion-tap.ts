import { estimateTokens } from '../estimate.ts'
import { isObject, parseJson, textOf } from '../json-fields.ts'
import { PassingTap } from '../passing-tap.ts'
import { sseData } from '../sse-framer.ts'
import type { StreamTap, UsageEstimate } from '../stream-tap.ts'
import { TextSample } from '../text-sample.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { fromCompletion } from './completion.ts'

/** What a clean end of a legacy completion stream needs. */
export interface CompletionState {
  readonly id: string | undefined
  readonly model: string
}

/** Watches a stream of legacy completions (`event: completion`), which never tells its usage. */
export interface CompletionTap extends StreamTap {
  readonly state: CompletionState
}

export function openCompletionTap(options: { model: string }): CompletionTap {
  return new CompletionStreamTap(options.model)
}

class CompletionStreamTap extends PassingTap implements CompletionTap {
  #id: string | undefined
  #model: string
  #stopReason: string | undefined
  #begun = false
  readonly #text = new TextSample()
  readonly measured = false

  constructor(model: string) {
    super()
    this.#model = model
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

  get state(): CompletionState {
    return { id: this.#id, model: this.#model }
  }

  protected override readonly onFrame = (frame: Buffer): void => {
    const data = sseData(frame)
    if (data !== undefined) this.observe(data)
  }

  observe(data: string): void {
    const event = parseJson(data)
    if (!isObject(event)) return
    if (event.type === 'error' || isObject(event.error)) {
      this.failed = true
      this.ended = true
      return
    }
    // What follows the end is an echo of it.
    if (this.ended || typeof event.completion !== 'string') return
    this.#begun = true
    this.#id = textOf(event.id) ?? this.#id
    this.#model = textOf(event.model) ?? this.#model
    this.#text.add(event.completion)
    this.#stopReason = textOf(event.stop_reason) ?? this.#stopReason
    if (this.#stopReason !== undefined) this.ended = true
  }

  usage(estimate: UsageEstimate = {}): UsageResult {
    const result = fromCompletion({ id: this.#id, model: this.#model, stop_reason: this.#stopReason })
    // An error before any word costs nothing.
    if (!this.#begun) return result
    const output = estimate.outputTokens ?? estimateTokens(this.outputBytes)
    return { ...result, ...measuredAs({ in_text: estimate.inputTokens ?? 0, out_text: output }, 'estimated') }
  }
}
