import type { QuantityName } from '@sluice/contracts'
import { estimateTokens } from '../estimate.ts'
import { isObject, type JsonObject, objectOf, parseJson, textOf } from '../json-fields.ts'
import { PassingTap } from '../passing-tap.ts'
import { sseData } from '../sse-framer.ts'
import { observeData, type StreamTap, type UsageEstimate } from '../stream-tap.ts'
import { TextSample } from '../text-sample.ts'
import { measuredAs, type UsageResult } from '../usage-result.ts'
import { fromResponse } from './response.ts'
import { totalTold } from './token-usage.ts'
import { containersIn, toolQuantities, withMinutes } from './tool-usage.ts'

/** What a clean end of a Responses stream needs. */
export interface ResponsesState {
  /** The response object as the provider announced it; undefined before `response.created`. */
  readonly response: JsonObject | undefined
  /** Of the last event seen; the next one is one higher. -1 before the first. */
  readonly sequenceNumber: number
  /** Items that are done, by output index, as the provider sent them. Empty after an overflow. */
  readonly finishedItems: readonly { outputIndex: number; item: JsonObject }[]
  /** Items under way. Their parts are empty after an overflow. */
  readonly openItems: readonly OpenItem[]
  /** More text than may be kept has passed: the reply cannot be rebuilt any more. */
  readonly overflow: boolean
}

export interface OpenItem {
  readonly outputIndex: number
  /** As announced by `response.output_item.added`. */
  readonly item: JsonObject
  /** Text so far of each content part that was opened and is not done, and of those that are. */
  readonly parts: readonly { contentIndex: number; part: JsonObject; text: string; done: boolean }[]
  /** Arguments or input of a tool call so far; it must not be closed as if it were whole. */
  readonly toolArguments: string
  readonly isToolCall: boolean
}

/** Watches a Responses stream (server-sent events, or WebSocket events by `observe`). */
export interface ResponsesTap extends StreamTap {
  readonly state: ResponsesState
  /** As `observe`, for who has parsed the event already. `size`: bytes of its JSON. */
  observeEvent(event: JsonObject, size: number): void
}

export function openResponsesTap(options: { model: string }): ResponsesTap {
  return new ResponsesStreamTap(options.model)
}

/** Bytes kept for a clean end: finished items and the text of open ones. */
const maxKeptBytes = 256 * 1024
interface Part {
  contentIndex: number
  part: JsonObject
  text: string
  done: boolean
}

interface Item {
  outputIndex: number
  item: JsonObject
  parts: Part[]
  toolArguments: string
  isToolCall: boolean
}

class ResponsesStreamTap extends PassingTap implements ResponsesTap {
  readonly #requestedModel: string
  #response: JsonObject | undefined
  #terminal: JsonObject | undefined
  /** It failed before it was created: nothing was worked on. */
  #refused = false
  #shrank = false
  #sequenceNumber = -1
  #finished: { outputIndex: number; item: JsonObject }[] = []
  #open = new Map<number, Item>()
  #kept = 0
  #overflow = false
  readonly #text = new TextSample()

  constructor(model: string) {
    super()
    this.#requestedModel = model
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
    return isObject(this.#terminal?.usage)
  }

  get state(): ResponsesState {
    return {
      response: this.#response,
      sequenceNumber: this.#sequenceNumber,
      finishedItems: this.#finished,
      openItems: [...this.#open.values()],
      overflow: this.#overflow,
    }
  }

  protected override readonly onFrame = (frame: Buffer): void => {
    const data = sseData(frame)
    if (data !== undefined) observeData(data, line => this.observe(line))
  }

  observe(data: string): void {
    const event = parseJson(data)
    if (isObject(event)) this.observeEvent(event, data.length)
  }

  observeEvent(event: JsonObject, size: number): void {
    const type = textOf(event.type) ?? ''
    if (typeof event.sequence_number === 'number') this.#sequenceNumber = event.sequence_number
    if (isObject(event.response)) this.#onResponse(type, event.response)
    else if (type.endsWith('.delta')) this.#onDelta(type, event)
    else if (type === 'response.output_item.added') this.#onItemAdded(event)
    else if (type === 'response.output_item.done') this.#onItemDone(event, size)
    else if (type === 'response.content_part.added') this.#onPartAdded(event)
    else if (type === 'response.content_part.done') this.#onPartDone(event)
    else if (type === 'error') this.#onError()
  }

  #onError(): void {
    this.failed = true
    this.ended = true
  }

  #onResponse(type: string, response: JsonObject): void {
    if (type === 'response.failed') {
      this.failed = true
      this.#refused = this.#response === undefined
    }
    this.#response = response
    if (
      type === 'response.completed' ||
      type === 'response.incomplete' ||
      type === 'response.failed' ||
      type === 'response.cancelled' ||
      type === 'response.done'
    ) {
      if (totalTold(response.usage) < totalTold(this.#terminal?.usage)) this.#shrank = true
      else this.#terminal = response
      this.ended = true
    }
  }

  #onDelta(type: string, event: JsonObject): void {
    const { delta } = event
    if (typeof delta !== 'string' || type.includes('audio.')) return
    const bytes = Buffer.byteLength(delta)
    this.#text.add(delta)
    const item = this.#open.get(indexOf(event.output_index))
    if (!item || !this.#keep(bytes)) return
    if (type === 'response.output_text.delta' || type === 'response.refusal.delta') {
      const part = item.parts.find(candidate => candidate.contentIndex === indexOf(event.content_index))
      if (part) part.text += delta
    } else if (item.isToolCall) item.toolArguments += delta
  }

  #onItemAdded(event: JsonObject): void {
    const item = objectOf(event.item)
    const outputIndex = indexOf(event.output_index)
    const isToolCall = (textOf(item.type) ?? '').endsWith('_call')
    if (this.#open.size < 256)
      this.#open.set(outputIndex, { outputIndex, item, parts: [], toolArguments: '', isToolCall })
  }

  #onItemDone(event: JsonObject, size: number): void {
    const outputIndex = indexOf(event.output_index)
    this.#open.delete(outputIndex)
    if (this.#finished.some(done => done.outputIndex === outputIndex)) return
    if (this.#keep(size)) this.#finished.push({ outputIndex, item: objectOf(event.item) })
    else this.#countTools(objectOf(event.item))
  }

  /** Tool calls of items that were dropped for their size: they are charged all the same. */
  #droppedTools: JsonObject[] = []
  #countTools(item: JsonObject): void {
    const { id, type, action } = item
    const container_id = item.container_id ?? objectOf(item.environment).container_id
    if ((textOf(type) ?? '').endsWith('_call') && this.#droppedTools.length < 1024)
      this.#droppedTools.push({ id, type, action: { type: objectOf(action).type }, container_id })
  }

  #onPartAdded(event: JsonObject): void {
    const item = this.#open.get(indexOf(event.output_index))
    if (!item || this.#overflow || item.parts.length >= 256) return
    item.parts.push({ contentIndex: indexOf(event.content_index), part: objectOf(event.part), text: '', done: false })
  }

  #onPartDone(event: JsonObject): void {
    const item = this.#open.get(indexOf(event.output_index))
    const part = item?.parts.find(candidate => candidate.contentIndex === indexOf(event.content_index))
    if (!part) return
    part.part = objectOf(event.part)
    part.done = true
  }

  #keep(bytes: number): boolean {
    this.#kept += bytes
    if (this.#kept <= maxKeptBytes) return true
    if (!this.#overflow) {
      this.#overflow = true
      for (const done of this.#finished) this.#countTools(done.item)
      this.#finished = []
      for (const item of this.#open.values()) {
        item.parts = []
        item.toolArguments = ''
      }
    }
    return false
  }

  usage(estimate: UsageEstimate = {}): UsageResult {
    const last = this.#terminal ?? this.#response
    const result = fromResponse(last ?? { model: this.#requestedModel })
    if (this.#shrank) result.shrank = true
    if (isObject(last?.usage) || !this.#response || this.#refused) return result
    const estimated = measuredAs(
      {
        in_text: estimate.inputTokens ?? 0,
        out_text: estimate.outputTokens ?? estimateTokens(this.outputBytes),
      },
      'estimated',
    )
    // What the stream has shown of tools is counted. One under way is taken to be charged: the provider works on it.
    const shown = [...this.#finished.map(done => done.item), ...this.#droppedTools]
    const all = [...shown, ...[...this.#open.values()].map(open => open.item)]
    const ended = toolQuantities(shown, { tools: last?.tools })
    const tools = withMinutes(measuredAs(toolQuantities(all, { tools: last?.tools }), 'measured'))
    for (const name of Object.keys(tools.quantities) as QuantityName[])
      if (tools.quantities[name] !== ended[name]) tools.provenance[name] = 'estimated'
    return {
      ...result,
      ...(tools.quantities.code_container_sessions && { containers: containersIn(all, last?.tools) }),
      quantities: { ...estimated.quantities, ...tools.quantities },
      provenance: { ...estimated.provenance, ...tools.provenance },
    }
  }
}

function indexOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
