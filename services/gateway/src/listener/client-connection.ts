import type { Socket } from 'node:net'
import { writeTogether } from '../wire/write-together.ts'
import { type ClientReading, readClient } from './client-reading.ts'
import { ComingBody } from './coming-body.ts'
import { maxHeadBytes, type RequestHead, RequestHeadReader } from './read-request-head.ts'
import { type AnswerSink, WholeExchange } from './whole-exchange.ts'

/** Finds who answers a request by its head. */
export type FindAnswerer = (head: RequestHead) => ((exchange: WholeExchange) => void) | undefined

/** What a connection asks of the listener it came by. */
export interface ConnectionOwner {
  /** Who answers a request with this head; undefined: Node's server. */
  find: FindAnswerer
  /** Takes the connection over: its next bytes are those at the head of its stream. */
  handOver: (socket: Socket) => void
  onClosed: (connection: ClientConnection) => void
  readonly isClosing: boolean
  /** Takes room for bytes that wait. @returns false where there is none */
  takeRoom: (bytes: number) => boolean
  freeRoom: (bytes: number) => void
}

/** How long a connection may be open before its first byte, and a head may take from its first byte on. */
const headMs = 15_000
/** How long a request may take to come whole, from its first byte on. */
const requestMs = 60_000
/** How long a connection is kept between two requests. */
const keptForMs = 72_000
/** How long a client may take nothing of an answer that is written. */
const stalledMs = 300_000
/** How long a connection that is ended may take to go. */
const endingMs = 1_000
/** What a client may send ahead of its answer. */
const maxAheadBytes = 64 * 1024
/** Larger bodies are received once the credential has been looked at. */
const maxBodyBytes = 64 * 1024
/** Of still larger ones Node's server hands on what comes, whatever length their head tells. */
const maxComingBytes = 1024 * 1024
/** How long such a body may take to come. */
const bodyMs = 300_000

const timedOut = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n'

/** A request of which not all has come. */
interface ComingRequest {
  /** What has come, from the beginning of the head, and room for more. */
  buffer: Buffer
  length: number
  /** Once it is read; then the buffer has room for all of the request. */
  head: RequestHead | undefined
  answer: ((exchange: WholeExchange) => void) | undefined
  sinceMs: number
}

/**
 * A client's connection whose requests are plain and not very large: most calls are, and reading them so costs a fraction of what
 * Node's server takes. The first bytes that are anything else go to that server, with all that follow.
 *
 * One request is answered at a time. What comes meanwhile waits in its order, also while an answer waits for its client; nothing
 * that waits is held without room taken for it.
 */
export class ClientConnection implements AnswerSink {
  /** Place in the listener's list. */
  place = -1
  readonly #reading: ClientReading
  readonly #socket: Socket
  readonly #owner: ConnectionOwner
  readonly #heads = new RequestHeadReader()
  /** Who answers requests like the last one. */
  #found: { method: string; target: string; answer: ReturnType<FindAnswerer> } | undefined
  #exchange: WholeExchange | undefined
  /** Of the exchange, where not all of it had come. */
  #body: ComingBody | undefined
  #coming: ComingRequest | undefined
  /** Bytes behind the request that is being answered. */
  #ahead: Buffer[] = []
  #aheadBytes = 0
  /** The client takes nothing of the last answer: it is asked for no more until it does. */
  #isBlocked = false
  #isOver = false
  #isScheduled = false
  #deadlineMs: number
  /** What it may take once the client has all that is written; undefined: it had when {@link #deadlineMs} was set. */
  #afterwardsMs: number | undefined

  constructor(accepted: Socket, owner: ConnectionOwner, nowMs: number) {
    this.#reading = readClient(accepted, bytes => this.#onBytes(bytes))
    const { socket } = this.#reading
    this.#socket = socket
    this.#owner = owner
    this.#deadlineMs = nowMs + headMs
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get peer(): string | undefined {
    return this.#socket.remoteAddress
  }

  /** Called each few seconds: ends what has waited for too long. */
  check(nowMs: number): void {
    if (this.#exchange && this.#body?.isComplete !== false) return
    if (this.#afterwardsMs !== undefined && this.#socket.writableLength === 0) {
      this.#deadlineMs = Math.min(this.#deadlineMs, nowMs + this.#afterwardsMs)
      this.#afterwardsMs = undefined
    }
    if (nowMs < this.#deadlineMs) return
    if ((!this.#coming && !this.#body) || this.#socket.writableEnded) {
      this.#socket.destroy()
      return
    }
    // Whatever still comes of its body, its call is over.
    this.#body = undefined
    this.#exchange?.onClosed()
    this.#exchange = undefined
    this.#end(timedOut)
  }

  /** Ends it, at once where nothing is being answered, else behind the answer. */
  close(): void {
    if (!this.#exchange) this.#end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  // ── the answer ────────────────────────────────────────────────────────────────────────────────────────────────────

  get keptForS(): number | undefined {
    return this.#owner.isClosing ? undefined : keptForMs / 1000
  }

  write(head: readonly string[], bytes: Uint8Array | undefined, tail: string): boolean {
    const socket = this.#socket
    if (socket.destroyed) return true
    if (!bytes) return socket.write(head.join(''), 'latin1')
    if (head.length === 0 && tail === '') return socket.write(bytes)
    return writeTogether(socket, head, bytes, tail)
  }

  onAnswered(): void {
    this.#exchange = undefined
    const rest = this.#body?.isComplete === false ? this.#body : undefined
    this.#body = undefined
    rest?.close()
    if (this.#owner.isClosing || rest) {
      this.#end()
      return
    }
    this.#allow(keptForMs)
    // Answers of a client that reads none would fill the memory.
    if (this.#socket.writableNeedDrain) {
      this.#isBlocked = true
      this.#socket.pause()
    } else this.#takeAhead()
  }

  // ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @param bytes only until this returns */
  #onBytes(bytes: Buffer): void {
    if (this.#body) this.#takeComing(this.#body, bytes)
    else if (this.#exchange || this.#aheadBytes > 0 || this.#isBlocked) this.#keepAhead(bytes)
    else this.#take(bytes)
  }

  /** The next bytes of the connection, in their order; nothing is being answered. */
  #take(bytes: Buffer): void {
    if (this.#socket.writableEnded) return
    const coming = this.#coming
    if (coming?.head) this.#takeBody(coming, coming.head, bytes)
    else this.#takeHead(coming, bytes)
  }

  #takeHead(coming: ComingRequest | undefined, bytes: Buffer): void {
    const all = coming ? withMore(coming, bytes) : bytes
    const head = this.#owner.isClosing ? undefined : this.#heads.read(all, all.length - bytes.length)
    if (head === 'unfinished') {
      if (!coming) this.#wait(bytes, maxHeadBytes, { head: undefined, answer: undefined, sinceMs: performance.now() })
      return
    }
    const answer = head && head.bodyBytes <= maxComingBytes ? this.#answererOf(head) : undefined
    if (!head || !answer) this.#handOver(all)
    else if (all.length >= head.bodyStart + head.bodyBytes) this.#answerFirst(head, answer, all)
    else if (head.bodyBytes > maxBodyBytes) this.#begin(head, answer, all)
    else {
      const sinceMs = coming?.sinceMs ?? performance.now()
      this.#forget()
      this.#wait(all, head.bodyStart + head.bodyBytes, { head, answer, sinceMs })
    }
  }

  /** Looked for once for all requests with the same target. */
  #answererOf(head: RequestHead): ReturnType<FindAnswerer> {
    const { method, target } = head
    if (this.#found?.target !== target || this.#found.method !== method)
      this.#found = { method, target, answer: this.#owner.find(head) }
    return this.#found.answer
  }

  #takeBody(coming: ComingRequest, head: RequestHead, bytes: Buffer): void {
    const { buffer, answer } = coming
    const taken = bytes.copy(buffer, coming.length)
    coming.length += taken
    if (coming.length < buffer.length || !answer) return
    if (taken < bytes.length && !this.#keepAhead(bytes.subarray(taken))) return
    this.#forget()
    this.#answer(head, answer, buffer.subarray(head.bodyStart))
  }

  /** For more of a request. Where too much waits already, Node's server does that. */
  #wait(
    bytes: Buffer,
    room: number,
    { head, answer, sinceMs }: Pick<ComingRequest, 'head' | 'answer' | 'sinceMs'>,
  ): void {
    if (!this.#owner.takeRoom(room)) {
      this.#handOver(bytes)
      return
    }
    const buffer = Buffer.allocUnsafe(room)
    bytes.copy(buffer)
    this.#coming = { buffer, length: bytes.length, head, answer, sinceMs }
    this.#deadlineMs = sinceMs + (head ? requestMs : headMs)
  }

  /** What has come of a request is somebody else's now, or nobody's. */
  #forget(): void {
    if (!this.#coming) return
    this.#owner.freeRoom(this.#coming.buffer.length)
    this.#coming = undefined
  }

  /** @param all the request, and what came behind it */
  #answerFirst(head: RequestHead, answer: (exchange: WholeExchange) => void, all: Buffer): void {
    this.#forget()
    const wholeBytes = head.bodyStart + head.bodyBytes
    if (all.length > wholeBytes && !this.#keepAhead(all.subarray(wholeBytes))) return
    this.#answer(head, answer, Buffer.from(all.subarray(head.bodyStart, wholeBytes)))
  }

  #answer(head: RequestHead, answer: (exchange: WholeExchange) => void, body: Buffer | ComingBody): void {
    const exchange = new WholeExchange(head, body, this)
    this.#exchange = exchange
    answer(exchange)
  }

  /** @param all the head of a request with a large body, and what has come of that */
  #begin(head: RequestHead, answer: (exchange: WholeExchange) => void, all: Buffer): void {
    const early = all.subarray(head.bodyStart)
    if (!this.#owner.takeRoom(early.length)) {
      this.#handOver(all)
      return
    }
    this.#forget()
    const body = new ComingBody(head.bodyBytes, early, {
      pause: () => this.#socket.pause(),
      resume: () => this.#socket.resume(),
      onTaken: () => this.#owner.freeRoom(early.length),
    })
    this.#body = body
    this.#deadlineMs = performance.now() + bodyMs
    this.#afterwardsMs = undefined
    this.#answer(head, answer, body)
    body.keep()
  }

  #takeComing(body: ComingBody, bytes: Buffer): void {
    const taken = body.take(bytes)
    if (body.isComplete) this.#body = undefined
    if (taken < bytes.length) this.#keepAhead(bytes.subarray(taken))
  }

  /** A client may send its next request before it has its answer. @returns false where it sends too much, and is let go */
  #keepAhead(bytes: Buffer): boolean {
    const isTooMuch = this.#aheadBytes + bytes.length > maxAheadBytes
    if (isTooMuch || !this.#owner.takeRoom(bytes.length)) {
      this.#socket.destroy()
      return false
    }
    this.#ahead.push(Buffer.from(bytes))
    this.#aheadBytes += bytes.length
    return true
  }

  /** Goes on with what came meanwhile, but not from inside the answer before. */
  #takeAhead(): void {
    if (this.#aheadBytes === 0 || this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (this.#exchange || this.#isOver || this.#isBlocked || this.#socket.destroyed) return
      const bytes = Buffer.concat(this.#ahead)
      this.#dropAhead()
      this.#take(bytes)
    })
  }

  #dropAhead(): void {
    this.#owner.freeRoom(this.#aheadBytes)
    this.#ahead = []
    this.#aheadBytes = 0
  }

  /** @param bytes all that has come and is not answered */
  #handOver(bytes: Buffer): void {
    const socket = this.#socket
    this.#isOver = true
    this.#forget()
    this.#reading.stop()
    socket.off('drain', this.#onDrain)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
    this.#owner.onClosed(this)
    socket.pause()
    socket.unshift(Buffer.from(bytes))
    this.#owner.handOver(socket)
    process.nextTick(() => socket.resume())
  }

  // ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #onDrain = (): void => {
    if (this.#exchange) this.#exchange.onDrained()
    else if (this.#isBlocked) {
      this.#isBlocked = false
      this.#deadlineMs = performance.now() + keptForMs
      this.#socket.resume()
      this.#takeAhead()
    }
  }

  /** A client that sends no more has left: there are none that wait for an answer with half a connection. */
  readonly #onEnd = (): void => {
    if (this.#exchange) this.#socket.destroy()
    else this.#end()
  }

  readonly #onError = (): void => {
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#forget()
    this.#dropAhead()
    this.#owner.onClosed(this)
    this.#exchange?.onClosed()
  }

  /** Time for what comes next, and for the client to take what is written: with TLS that is never known at once. */
  #allow(ms: number): void {
    const waits = this.#socket.writableLength > 0
    this.#deadlineMs = performance.now() + (waits ? stalledMs : ms)
    this.#afterwardsMs = waits ? ms : undefined
  }

  #end(lastWords?: string): void {
    this.#allow(endingMs)
    if (lastWords === undefined) this.#socket.end()
    else this.#socket.end(lastWords)
  }
}

/** What has come of a head with more behind it: written behind it where there is room, so that bytes that come singly cost little. */
function withMore(coming: ComingRequest, bytes: Buffer): Buffer {
  const { buffer, length } = coming
  if (length + bytes.length > buffer.length) return Buffer.concat([buffer.subarray(0, length), bytes])
  bytes.copy(buffer, length)
  coming.length += bytes.length
  return buffer.subarray(0, coming.length)
}
