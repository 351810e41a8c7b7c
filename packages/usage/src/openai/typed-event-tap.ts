import { isObject, type JsonObject, parseJson, textOf } from '../json-fields.ts'
import { JsonSieve } from '../json-sieve.ts'
import { SseFramer, sseData } from '../sse-framer.ts'
import type { StreamTap } from '../stream-tap.ts'
import type { UsageResult } from '../usage-result.ts'

const nothing: readonly Uint8Array[] = []
const dataPrefix = /^data: ?/m

/** Watches a stream whose events name their type in their data, as those of audio and images do. */
export abstract class TypedEventTap implements StreamTap {
  readonly #framer = new SseFramer()
  /** Events above this hold an image: they are read without their long strings. */
  protected readonly maxParsedBytes: number = 64 * 1024
  outputBytes = 0
  ended = false
  failed = false

  abstract get measured(): boolean
  abstract usage(): UsageResult
  /** Takes one event. */
  protected abstract onEvent(type: string, event: JsonObject): void

  get atEventBoundary(): boolean {
    return this.#framer.atEventBoundary
  }

  write(chunk: Uint8Array): number {
    return this.#framer.push(chunk, this.#onEvent)
  }

  eventEndIn(chunk: Uint8Array): number {
    return this.#framer.eventEndIn(chunk)
  }

  forward(chunk: Uint8Array): readonly Uint8Array[] {
    this.write(chunk)
    return [chunk]
  }

  flush(): readonly Uint8Array[] {
    return nothing
  }

  #onEvent = (event: Buffer): void => {
    if (event.length > this.maxParsedBytes) {
      this.#take(readLarge(event))
      return
    }
    const data = sseData(event)
    if (data !== undefined) this.observe(data)
  }

  observe(data: string): void {
    if (data === '[DONE]') this.ended = true
    else this.#take(parseJson(data))
  }

  #take(event: unknown): void {
    if (!isObject(event)) return
    const type = textOf(event.type) ?? ''
    if (type === 'error' || isObject(event.error)) {
      this.failed = true
      this.ended = true
    } else this.onEvent(type, event)
  }
}

/** The data of a large event, which is one line, without its long strings. */
function readLarge(event: Buffer): unknown {
  const head = event.toString('latin1', 0, Math.min(event.length, 1024))
  const prefix = dataPrefix.exec(head)
  if (!prefix) return undefined
  const sieve = new JsonSieve()
  sieve.write(event.subarray(prefix.index + prefix[0].length))
  return sieve.value()
}
