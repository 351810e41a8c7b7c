import { EventEmitter, once } from 'node:events'
import type { Call } from '../call.ts'
import { NOTHING_METERED } from '../cost.ts'
import type { Directives } from '../directives.ts'
import type { Frame } from '../frames.ts'
import { asObject, isObject, type JsonObject } from '../json.ts'
import { Pace } from '../pace.ts'
import { Produced } from '../produced.ts'
import { applyStreamFaults, type StreamTrouble } from '../stream-faults.ts'
import { type Answer, toResponse } from './response-object.ts'
import type { BackgroundLife } from './response-shelf.ts'

/** A response that is made whether anyone listens or not; its bill is closed when it ends. */
export class BackgroundRun implements BackgroundLife {
  readonly #call: Call
  readonly #answer: Answer
  readonly #events: { readonly sequence: number; readonly sse: string }[] = []
  readonly #news = new EventEmitter().setMaxListeners(0)
  #object: JsonObject
  readonly #produced: Produced
  ended = false

  constructor(call: Call, answer: Answer) {
    const { record } = call
    if (record === undefined) throw new Error('Only an endpoint that is on the bill produces.')
    const { script } = answer
    record.response_id = answer.id
    record.model = script.model
    record.served_tier = script.tier
    record.streamed = answer.body.stream === true
    record.http_status = 200
    this.#call = call
    this.#answer = answer
    this.#produced = new Produced(script)
    this.#object = toResponse(answer, 'queued', [], undefined) as JsonObject
  }

  object(): JsonObject {
    return this.#object
  }

  /** Produces at its pace, faults included, until it is done or cancelled. */
  async play(frames: Iterable<Frame>, directives: Directives, trouble: StreamTrouble): Promise<void> {
    const pace = new Pace(directives)
    for (const step of applyStreamFaults(frames, directives, trouble)) {
      if ('pauseMs' in step) await this.#wait(step.pauseMs)
      else if ('lastWords' in step) {
        this.#tell(step.lastWords)
        this.#end('failed')
      } else {
        await this.#wait(step.tokens > 0 ? pace.next() : 0)
        if (this.ended) return
        this.#produced.add(step)
        this.#tell(step.sse)
      }
      if (this.ended) return
    }
    this.#end('completed')
  }

  cancel(): void {
    if (this.ended) return
    this.#object = toResponse(this.#answer, 'cancelled', [], this.#produced.metered()) as JsonObject
    this.#end('aborted')
  }

  async *events(after: number): AsyncGenerator<string> {
    for (let at = 0; ; at += 1) {
      while (at >= this.#events.length) {
        if (this.ended) return
        await once(this.#news, 'news')
      }
      const event = this.#events[at]
      if (event !== undefined && event.sequence > after) yield event.sse
    }
  }

  #tell(sse: string): void {
    for (const event of sse.split(/(?<=\n\n)/)) {
      if (event === '') continue
      const data = readData(event)
      const sequence =
        typeof data.sequence_number === 'number' ? data.sequence_number : (this.#events.at(-1)?.sequence ?? 0)
      this.#events.push({ sequence, sse: event })
      if (isObject(data.response)) this.#object = data.response
    }
    this.#news.emit('news')
  }

  #end(ended: 'completed' | 'aborted' | 'failed'): void {
    this.ended = true
    const { record, bill } = this.#call
    if (record === undefined) return
    record.generated_output_tokens = this.#produced.output
    const isNothing = ended === 'failed' && this.#produced.output === 0
    const metered = isNothing ? NOTHING_METERED : this.#produced.metered()
    bill.close(record, ended, metered, this.#answer.script, isNothing ? [] : this.#produced.beside())
    this.#news.emit('news')
  }

  #wait(ms: number): Promise<void> {
    return ms === 0 ? Promise.resolve() : new Promise(resolve => setTimeout(resolve, ms).unref())
  }
}

function readData(event: string): JsonObject {
  const line = event.split('\n').find(text => text.startsWith('data: '))
  try {
    return asObject(JSON.parse(line?.slice('data: '.length) ?? ''))
  } catch {
    return {}
  }
}
