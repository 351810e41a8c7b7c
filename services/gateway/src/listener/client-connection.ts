import type { Socket } from 'node:net'
import { type RequestHead, RequestHeadReader } from './read-request-head.ts'
import { type AnswerSink, WholeExchange } from './whole-exchange.ts'

/** Finds who answers a request by its head. */
export type FindAnswerer = (head: RequestHead) => ((exchange: WholeExchange) => void) | undefined

interface ComingRequest {
  head: RequestHead
  answer: (exchange: WholeExchange) => void
}

/** What a connection asks of the listener it came by. */
export interface ConnectionOwner {
  /** Who answers a request with this head; undefined: Node's server. */
  find: FindAnswerer
  /** Takes the connection over: its next bytes are those at the head of its stream. */
  handOver: (socket: Socket) => void
  onClosed: (connection: ClientConnection) => void
  readonly isClosing: boolean
  /** Takes room for the bytes of a request that is not whole yet. @returns false where there is none */
  takeRoom: (bytes: number) => boolean
  freeRoom: (bytes: number) => void
}

/** How long a connection may be open before its first request, and between two. */
const firstRequestMs = 15_000
export const keptForMs = 72_000
/** How long a client may take nothing of an answer that is written. */
const stalledMs = 300_000
/** How long a request may take to come whole. */
const maxWaitMs = 60_000
/** What a client may send ahead of its answer. */
const maxAheadBytes = 64 * 1024
/** Larger bodies are received by those who look at the credential first. */
const maxBodyBytes = 64 * 1024

/**
 * A client's connection whose requests are plain and small: most calls are, and reading them so costs a fraction of what
 * Node's server takes. The first bytes that are anything else go to that server, with all that follow.
 */
export class ClientConnection implements AnswerSink {
  /** Place in the listener's list. */
  place = -1
  readonly #socket: Socket
  readonly #owner: ConnectionOwner
  readonly #heads = new RequestHeadReader()
  #exchange: WholeExchange | undefined
  /** Bytes that came while an answer was under way. */
  #ahead: Buffer[] = []
  #aheadBytes = 0
  #deadlineMs: number
  #isOver = false
  /** The request whose head is read and whose body is not all there. */
  #coming: ComingRequest | undefined
  /** What has come of it. */
  #parts: Buffer[] = []
  #partBytes = 0

  constructor(socket: Socket, owner: ConnectionOwner, nowMs: number) {
    this.#socket = socket
    this.#owner = owner
    this.#deadlineMs = nowMs + firstRequestMs
    socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  /** Called each few seconds: ends what has waited for too long. */
  check(nowMs: number): void {
    if (this.#exchange) return
    if (nowMs >= this.#deadlineMs) this.#socket.destroy()
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

  write(head: string, bytes: Uint8Array | undefined, tail: string): boolean {
    const socket = this.#socket
    if (socket.destroyed) return true
    if (!bytes) return socket.write(head, 'latin1')
    if (head === '') return socket.write(bytes)
    socket.cork()
    socket.write(head, 'latin1')
    let mayGoOn = socket.write(bytes)
    if (tail !== '') mayGoOn = socket.write(tail, 'latin1')
    socket.uncork()
    return mayGoOn
  }

  onAnswered(): void {
    this.#exchange = undefined
    if (this.#owner.isClosing) {
      this.#end()
      return
    }
    this.#deadlineMs = performance.now() + (this.#socket.writableLength > 0 ? stalledMs : keptForMs)
    if (this.#aheadBytes > 0) this.#takeAhead()
  }

  // ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #onData = (bytes: Buffer): void => {
    if (this.#exchange) this.#keepAhead(bytes)
    else this.#begin(bytes)
  }

  #begin(bytes: Buffer): void {
    if (this.#coming) {
      this.#onBody(this.#coming, bytes)
      return
    }
    const all = this.#parts.length === 0 ? bytes : Buffer.concat([...this.#parts, bytes])
    const head = this.#owner.isClosing ? undefined : this.#heads.read(all)
    if (head === 'unfinished') {
      this.#wait(bytes)
      return
    }
    const answer = head && head.bodyBytes <= maxBodyBytes ? this.#owner.find(head) : undefined
    if (head && answer) {
      this.#freeParts()
      this.#coming = { head, answer }
      this.#onBody(this.#coming, all)
    } else this.#handOver(all)
  }

  #onBody({ head, answer }: ComingRequest, bytes: Buffer): void {
    const wholeBytes = head.bodyStart + head.bodyBytes
    if (this.#partBytes + bytes.length < wholeBytes) {
      this.#wait(bytes)
      return
    }
    const all = this.#parts.length === 0 ? bytes : Buffer.concat([...this.#parts, bytes])
    this.#freeParts()
    this.#coming = undefined
    const exchange = new WholeExchange(head, all.subarray(head.bodyStart, wholeBytes), this)
    this.#exchange = exchange
    if (all.length > wholeBytes) this.#keepAhead(all.subarray(wholeBytes))
    answer(exchange)
  }

  /** For the rest of a request. Where many wait already, Node's server does that. */
  #wait(bytes: Buffer): void {
    if (!this.#owner.takeRoom(bytes.length)) this.#handOver(Buffer.concat([...this.#parts, bytes]))
    else {
      if (this.#parts.length === 0) this.#deadlineMs = performance.now() + maxWaitMs
      this.#parts.push(bytes)
      this.#partBytes += bytes.length
    }
  }

  #freeParts(): void {
    if (this.#partBytes === 0) return
    this.#owner.freeRoom(this.#partBytes)
    this.#parts = []
    this.#partBytes = 0
  }

  /** A client may send its next request before it has its answer: that waits, and so does the client beyond some bytes. */
  #keepAhead(bytes: Buffer): void {
    this.#ahead.push(bytes)
    this.#aheadBytes += bytes.length
    if (this.#aheadBytes > maxAheadBytes) this.#socket.pause()
  }

  #takeAhead(): void {
    const bytes = Buffer.concat(this.#ahead)
    this.#ahead = []
    this.#aheadBytes = 0
    // Not from inside the answer before.
    setImmediate(() => {
      if (this.#socket.destroyed || this.#isOver) return
      if (this.#exchange) return this.#keepAhead(bytes)
      this.#socket.resume()
      this.#begin(bytes)
    })
  }

  #handOver(bytes: Buffer): void {
    const socket = this.#socket
    this.#isOver = true
    this.#freeParts()
    socket.off('data', this.#onData)
    socket.off('drain', this.#onDrain)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
    this.#owner.onClosed(this)
    socket.pause()
    socket.unshift(bytes)
    this.#owner.handOver(socket)
    process.nextTick(() => socket.resume())
  }

  readonly #onDrain = (): void => this.#exchange?.onDrained()

  /** A client that sends no more has left: there are none that wait for an answer with half a connection. */
  readonly #onEnd = (): void => {
    if (this.#exchange) this.#socket.destroy()
    else this.#end()
  }

  readonly #onError = (): void => {
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#freeParts()
    this.#owner.onClosed(this)
    this.#exchange?.onClosed()
  }

  #end(): void {
    this.#deadlineMs = performance.now() + 1_000
    this.#socket.end()
  }
}
