import type { Quantities, QuantityName } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { countOf, isObject, type JsonObject, objectOf, parseJson, textOf } from '../json-fields.ts'
import { PassingTap } from '../passing-tap.ts'
import { sseData } from '../sse-framer.ts'
import { observeData, type StreamTap, type UsageEstimate } from '../stream-tap.ts'
import { TextSample } from '../text-sample.ts'
import { addQuantities, type UsageResult } from '../usage-result.ts'
import { fromMessage } from './message.ts'

/** What a clean end of a messages stream needs. */
export interface MessagesState {
  readonly id: string | undefined
  readonly model: string
  /** Blocks begun and not ended, as announced. */
  readonly openBlocks: readonly { index: number; type: string }[]
  /** An open block is a tool call, which must not be closed as if it were whole. */
  readonly inToolCall: boolean
  readonly stopReason: string | undefined
  /** The merged usage object so far, for the closing `message_delta`. */
  readonly usage: JsonObject | undefined
}

/** Watches a messages stream. */
export interface MessagesTap extends StreamTap {
  readonly state: MessagesState
}

export function openMessagesTap(options: { model: string }): MessagesTap {
  return new MessagesStreamTap(options.model)
}

class MessagesStreamTap extends PassingTap implements MessagesTap {
  readonly #blocks = new Map<number, string>()
  /** Tools that run at the provider, by the block that calls them: one that comes twice is one call. */
  readonly #serverTools = new Map<number, string>()
  #id: string | undefined
  #model: string
  #usage: JsonObject | undefined
  #shrank = false
  #stopReason: string | undefined
  #container: unknown
  #final = false
  readonly #text = new TextSample()

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

  get measured(): boolean {
    return this.#final
  }

  get state(): MessagesState {
    const openBlocks = [...this.#blocks].map(([index, type]) => ({ index, type }))
    return {
      id: this.#id,
      model: this.#model,
      openBlocks,
      inToolCall: openBlocks.some(block => block.type.endsWith('tool_use')),
      stopReason: this.#stopReason,
      usage: this.#usage,
    }
  }

  protected override readonly onFrame = (frame: Buffer): void => {
    const data = sseData(frame)
    if (data !== undefined) observeData(data, line => this.observe(line))
  }

  observe(data: string): void {
    const event = parseJson(data)
    if (!isObject(event)) return
    switch (event.type) {
      case 'message_start':
        this.#onStart(objectOf(event.message))
        break
      case 'content_block_start':
        this.#onBlock(event)
        break
      case 'content_block_delta':
        this.#onDelta(objectOf(event.delta))
        break
      case 'content_block_stop':
        if (typeof event.index === 'number') this.#blocks.delete(event.index)
        break
      case 'message_delta':
        this.#stopReason = textOf(objectOf(event.delta).stop_reason) ?? this.#stopReason
        this.#container = objectOf(event.delta).container ?? this.#container
        if (isObject(event.usage)) {
          // 0 stands for what this event does not tell.
          const told = countOf(event.usage.output_tokens)
          if (told > 0 && told < countOf(this.#usage?.output_tokens)) this.#shrank = true
          this.#usage = mergeDelta(this.#usage, event.usage)
        }
        // Several may come, each with the numbers so far: the one that tells why the message stops has the final ones.
        if (isObject(event.usage) && this.#stopReason !== undefined) this.#final = true
        break
      case 'message_stop':
        this.ended = true
        this.#final = this.#usage !== undefined
        break
      case 'error':
        this.failed = true
        this.ended = true
        break
    }
  }

  #onStart(message: JsonObject): void {
    this.#id = textOf(message.id) ?? this.#id
    this.#model = textOf(message.model) ?? this.#model
    this.#container = message.container ?? this.#container
    if (isObject(message.usage)) this.#usage = mergeUsage(this.#usage, message.usage)
  }

  #onBlock(event: JsonObject): void {
    const block = objectOf(event.content_block)
    if (typeof event.index === 'number' && this.#blocks.size < 1024)
      this.#blocks.set(event.index, textOf(block.type) ?? 'text')
    if (block.type === 'server_tool_use' && typeof event.index === 'number' && this.#serverTools.size < 1024)
      this.#serverTools.set(event.index, textOf(block.name) ?? '')
    this.#count(block.text)
    this.#count(block.name)
  }

  #onDelta(delta: JsonObject): void {
    this.#count(delta.text)
    this.#count(delta.partial_json)
    this.#count(delta.thinking)
    // Of a compaction.
    this.#count(delta.content)
  }

  #count(text: unknown): void {
    if (typeof text === 'string') this.#text.add(text)
  }

  usage(estimate: UsageEstimate = {}): UsageResult {
    const result = fromMessage({
      id: this.#id,
      model: this.#model,
      stop_reason: this.#stopReason,
      usage: this.#usage,
      container: this.#container,
    })
    if (this.#shrank) result.shrank = true
    if (this.#final) return result
    // Without a message nothing was charged.
    if (this.#id === undefined && this.#usage === undefined && this.outputBytes === 0) return result
    const quantities = { ...result.quantities }
    const provenance = { ...result.provenance }
    if (this.#usage === undefined && estimate.inputTokens) {
      quantities.in_text = estimate.inputTokens
      provenance.in_text = 'estimated'
    }
    // The input side is known exactly; the output of `message_start` is only a beginning.
    const output = Math.max(quantities.out_text ?? 0, estimate.outputTokens ?? estimateTokens(this.outputBytes))
    if (output > 0) {
      quantities.out_text = output
      provenance.out_text = 'estimated'
    }
    // Usage tells of them at the very end alone.
    for (const [name, calls] of Object.entries(this.#toolsSeen()) as [QuantityName, number][]) {
      if (calls <= (quantities[name] ?? 0)) continue
      quantities[name] = calls
      provenance[name] = 'estimated'
    }
    return { ...result, quantities, provenance }
  }

  #toolsSeen(): Quantities {
    const seen: Quantities = {}
    for (const name of this.#serverTools.values())
      addQuantities(seen, { [quantityOfTool[name] ?? 'other_tool_calls']: 1 })
    return seen
  }
}

/** How calls of tools that run at the provider are charged; others have no price that is known here. */
const quantityOfTool: Partial<Record<string, QuantityName>> = {
  web_search: 'web_search_calls',
  web_fetch: 'web_fetch_calls',
}

/**
 * A credit for a retry that was redeemed makes reads of what else would have been written to the cache: of these, what the
 * stream told before does not hold.
 */
function mergeDelta(before: JsonObject | undefined, delta: JsonObject): JsonObject {
  const merged = mergeUsage(before, delta)
  if (objectOf(objectOf(delta.fallback_credit).status).type !== 'redeemed') return merged
  for (const name of ['cache_creation_input_tokens', 'cache_read_input_tokens'])
    if (typeof delta[name] === 'number') merged[name] = delta[name]
  merged.cache_creation = delta.cache_creation ?? null
  return merged
}

/** Deeper objects are taken as they come: what a provider nests without end must not end us. */
const maxUsageDepth = 8

/**
 * Usage in a stream is cumulative and partly null: the highest count seen holds, other fields take the last value that
 * is not null. Doubled events change nothing.
 */
function mergeUsage(before: JsonObject | undefined, after: JsonObject, depth = 0): JsonObject {
  const merged: JsonObject = { ...before }
  for (const [key, value] of Object.entries(after)) {
    if (value === null || value === undefined) {
      if (!(key in merged)) merged[key] = value
      continue
    }
    const known = merged[key]
    if (typeof value === 'number' && typeof known === 'number') merged[key] = Math.max(known, value)
    else if (isObject(value) && isObject(known) && depth < maxUsageDepth)
      merged[key] = mergeUsage(known, value, depth + 1)
    else merged[key] = value
  }
  return merged
}
