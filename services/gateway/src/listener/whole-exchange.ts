import type { ClientAnswer, ClientExchange } from '../client-exchange.ts'
import type { Endpoint } from '../endpoints.ts'
import { type BodyMemory, bodyTooLarge } from '../read-request.ts'
import { type ReadHeaders, readHeaders } from '../request-headers.ts'
import { encodeAnswerHead, type Framing } from './answer-head.ts'
import type { ComingBody } from './coming-body.ts'
import type { RequestHead } from './read-request-head.ts'

/** What an answer is written to. */
export interface AnswerSink {
  /** Address of the client's end. */
  readonly peer?: string | undefined
  /** How long the connection is kept when nothing is asked, in seconds; undefined: it is closed behind this answer. */
  readonly keptForS: number | undefined
  /** False: the next bytes are to wait for {@link WholeExchange.onDrained}. */
  write: (head: readonly string[], bytes: Uint8Array | undefined, tail: string) => boolean
  /** The answer is written to its end. */
  onAnswered: () => void
  destroy: () => void
}

const noHead: readonly string[] = []
const lastChunk = '0\r\n\r\n'

/** One request that came whole, or whose large body comes, and its answer. Answers are framed as Node's server frames them. */
export class WholeExchange implements ClientExchange, ClientAnswer {
  readonly #request: RequestHead
  headersSent = false
  /** Nothing reaches the client any more. */
  destroyed = false
  /** The answer is written to its end: nothing more comes of this exchange, whatever its connection goes on with. */
  writableFinished = false
  #body: Buffer | ComingBody
  readonly #sink: AnswerSink
  readonly #onClose: (() => void)[] = []
  readonly #onDrain: (() => void)[] = []
  /** What is not out of the head. */
  #head: readonly string[] = noHead
  #framing: Framing = 'none'
  #isClosed = false

  constructor(request: RequestHead, body: Buffer | ComingBody, sink: AnswerSink) {
    this.#request = request
    this.#body = body
    this.#sink = sink
  }

  get method(): string {
    return this.#request.method
  }

  /** Read once for all requests with the same headers. */
  readHeaders(): ReadHeaders {
    const { fields } = this.#request
    if (!fields.read) {
      fields.read = readHeaders(fields.raw)
      fields.read.peer = this.#sink.peer
    }
    return fields.read
  }

  get answer(): ClientAnswer {
    return this
  }

  get isComplete(): boolean {
    return Buffer.isBuffer(this.#body) || this.#body.isComplete
  }

  receive(endpoint: Endpoint, memory: BodyMemory): Buffer | Promise<Buffer> {
    const body = this.#body
    if (!Buffer.isBuffer(body)) return body.receive(endpoint, memory)
    if (body.length > endpoint.maxBodyBytes) throw bodyTooLarge(endpoint)
    memory.take(body.length)
    this.#body = nothing
    return body
  }

  async takeRest(): Promise<void> {
    if (!Buffer.isBuffer(this.#body)) await this.#body.takeRest()
  }

  on(event: 'close' | 'drain', listener: () => void): void {
    if (event === 'drain') this.#onDrain.push(listener)
    // Whoever begins to listen when the client has left is told so, too.
    else if (this.#isClosed) queueMicrotask(listener)
    else this.#onClose.push(listener)
  }

  /** @throws TypeError where a value would end its header */
  writeHead(status: number, headers: readonly string[]): void {
    if (this.headersSent) throw new Error('the head of this answer is out')
    // What still comes of a body would be read as the next request.
    const keptForS = this.isComplete ? this.#sink.keptForS : undefined
    const { pieces, framing } = encodeAnswerHead(status, headers, keptForS)
    this.#head = pieces
    this.#framing = framing
    this.headersSent = true
  }

  flushHeaders(): void {
    if (this.destroyed || this.writableFinished || this.#head.length === 0) return
    this.#sink.write(this.#takeHead(), undefined, '')
  }

  write(bytes: Uint8Array): boolean {
    if (this.destroyed || this.writableFinished || bytes.length === 0) return true
    if (this.#framing === 'none') return true
    const head = this.#takeHead()
    if (this.#framing === 'chunked')
      return this.#sink.write([...head, `${bytes.length.toString(16)}\r\n`], bytes, '\r\n')
    return this.#sink.write(head, bytes, '')
  }

  end(bytes?: Uint8Array | string, encoding?: BufferEncoding): void {
    if (this.destroyed || this.writableFinished) return
    if (!this.headersSent) throw new Error('an answer ends without its head')
    const last = typeof bytes === 'string' ? Buffer.from(bytes, encoding) : bytes
    if (last && last.length > 0) this.write(last)
    const head = this.#takeHead()
    const rest = this.#framing === 'chunked' ? [...head, lastChunk] : head
    if (rest.length > 0) this.#sink.write(rest, undefined, '')
    this.writableFinished = true
    this.#sink.onAnswered()
    for (const listener of this.#onClose) listener()
  }

  destroy(): void {
    if (this.writableFinished || this.destroyed) return
    this.destroyed = true
    this.#sink.destroy()
  }

  /** The connection is gone. */
  onClosed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.destroyed = true
    if (!Buffer.isBuffer(this.#body)) this.#body.close()
    for (const listener of this.#onClose) listener()
  }

  /** What has waited for the client is with it. */
  onDrained(): void {
    for (const listener of this.#onDrain) listener()
  }

  #takeHead(): readonly string[] {
    const head = this.#head
    this.#head = noHead
    return head
  }
}

const nothing = Buffer.alloc(0)
