import { isObject, type JsonObject, parseJson, textOf } from '../json-fields.ts'
import { JsonSieve } from '../json-sieve.ts'
import { PassingTap } from '../passing-tap.ts'
import { sseData } from '../sse-framer.ts'

const dataPrefix = /^data: ?/m

/** Watches a stream whose events name their type in their data, as those of audio and images do. */
export abstract class TypedEventTap extends PassingTap {
  /** Events above this hold an image: they are read without their long strings. */
  protected readonly maxParsedBytes: number = 64 * 1024
  outputBytes = 0

  /** Takes one event. */
  protected abstract onEvent(type: string, event: JsonObject): void

  protected override readonly onFrame = (frame: Buffer): void => {
    if (frame.length > this.maxParsedBytes) {
      this.#take(readLarge(frame))
      return
    }
    const data = sseData(frame)
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
