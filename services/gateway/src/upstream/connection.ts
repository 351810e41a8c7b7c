import type { OnReadOpts, Socket } from 'node:net'
import { writeTogether } from '../wire/write-together.ts'
import { encodeHead } from './encode-request.ts'
import type { ResponseHead } from './response-head.ts'
import { ResponseParser, type ResponseSink } from './response-parser.ts'
import { UpstreamError } from './upstream-error.ts'
import type { UpstreamController, UpstreamHandler, UpstreamRequest } from './upstream-handler.ts'

/** What a connection tells its pool. */
export interface ConnectionOwner {
  readonly host: string
  /** A clock of milliseconds, read often: it may be a quarter of a second behind. */
  readonly nowMs: number
  onIdle: (connection: Connection) => void
  onClosed: (connection: Connection) => void
}

/** Opens a socket that reads in this way; `readyEvent` says that it may be written to. */
export type OpenSocket = (onread: OnReadOpts) => { socket: Socket; readyEvent: string }

const noBody = Buffer.alloc(0)
/** Larger bodies are let go when the system has them. */
const smallBodyBytes = 16 * 1024
/**
 * Every connection reads into it, one at a time, and takes its bytes out: cheaper than memory of 64 kB for each read. A socket
 * that reads so stops at once where it is paused; one with `data` events reads once more, for each client that does not keep
 * up. It is no larger because what is read may have to wait for such a client.
 */
const readBuffer = Buffer.allocUnsafeSlow(16 * 1024)
const connectTimeoutMs = 5_000
/** Providers close idle connections, too: one that is about to must not be given a call. */
const idleMs = 30_000
const idleMarginMs = 1_000

/** One request and its answer. It outlives its connection's interest in it: a late order does nothing. */
class Exchange implements UpstreamController {
  readonly request: UpstreamRequest
  readonly handler: UpstreamHandler
  #connection: Connection | undefined

  constructor(connection: Connection, request: UpstreamRequest, handler: UpstreamHandler) {
    this.#connection = connection
    this.request = request
    this.handler = handler
  }

  /** The connection has nothing to do with it any more. */
  detach(): void {
    this.#connection = undefined
  }

  /** The system has the body: nobody here needs it any more. */
  bodySent(): void {
    this.request.body = noBody
    this.request.onSent?.()
  }

  abort(reason: Error): void {
    this.#connection?.fail(reason)
  }

  pause(): void {
    this.#connection?.pause()
  }

  resume(): void {
    this.#connection?.resume()
  }
}

/**
 * One HTTP/1.1 connection to a provider: one exchange at a time, no pipelining. It is *connecting* until the system says
 * otherwise (its first exchange waits), then *busy* with an exchange, *ending* for a moment where its request may not be out, or
 * *idle*, and *closed* in the end; any error closes it.
 */
export class Connection implements ResponseSink {
  readonly #owner: ConnectionOwner
  readonly #socket: Socket
  readonly #parser = new ResponseParser(this)
  #phase: 'connecting' | 'busy' | 'ending' | 'idle' | 'closed' = 'connecting'
  #exchange: Exchange | undefined
  #paused = false
  #deadlineMs: number
  #headSeen = false

  constructor(owner: ConnectionOwner, open: OpenSocket) {
    this.#owner = owner
    this.#deadlineMs = owner.nowMs + connectTimeoutMs
    const { socket, readyEvent } = open({ buffer: readBuffer, callback: length => this.#onRead(length) })
    this.#socket = socket
    socket.on(readyEvent, () => this.#onReady())
    socket.on('error', error => this.fail(error))
    socket.on('end', () => this.#onEnded())
    socket.on('close', () => this.fail(otherSideClosed()))
  }

  /** Takes a request; the connection is connecting and has none, or idle. */
  start(request: UpstreamRequest, handler: UpstreamHandler): void {
    const exchange = new Exchange(this, request, handler)
    this.#exchange = exchange
    if (this.#phase === 'idle') this.#send(exchange)
  }

  /** Idle, and not about to be closed by the other side. */
  isFresh(nowMs: number): boolean {
    return this.#phase === 'idle' && nowMs < this.#deadlineMs
  }

  /** Called often: ends what has waited for too long. */
  check(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#paused) return
    if (this.#phase === 'connecting') this.fail(new UpstreamError('CONNECT_TIMEOUT', 'no connection within 5 s'))
    else if (this.#phase === 'idle') this.fail(new UpstreamError('CLOSED', 'idle'))
    else if (this.#headSeen) this.fail(new UpstreamError('IDLE_TIMEOUT', 'the answer has come to a stop'))
    else this.fail(new UpstreamError('HEADERS_TIMEOUT', 'no answer in time'))
  }

  /** Closes the connection. An exchange under way is told why. */
  fail(reason: Error): void {
    if (this.#phase === 'closed') return
    const wasSent = this.#phase === 'busy'
    this.#phase = 'closed'
    this.#socket.destroy()
    this.#owner.onClosed(this)
    const exchange = this.#exchange
    this.#exchange = undefined
    exchange?.detach()
    exchange?.handler.onResponseError(wasSent ? exchange : undefined, reason)
  }

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#touch()
    this.#socket.resume()
  }

  // ── the response ──────────────────────────────────────────────────────────────────────────────────────────────────

  onHead(head: ResponseHead): void {
    const exchange = this.#exchange
    if (!exchange) return
    this.#headSeen = true
    this.#idleS = head.keepAliveS
    exchange.handler.onResponseStart(exchange, head.status, head.headers)
  }

  onBody(chunk: Buffer): void {
    const exchange = this.#exchange
    if (exchange) exchange.handler.onResponseData(exchange, chunk)
  }

  onEnd(reusable: boolean): void {
    const exchange = this.#exchange
    if (!exchange) return
    this.#exchange = undefined
    exchange.detach()
    if (!reusable) this.fail(notToBeUsedAgain())
    else if (this.#socket.writableLength === 0) this.#becomeIdle()
    else this.#endBehindRequest()
    try {
      exchange.handler.onResponseEnd()
    } catch (cause) {
      exchange.handler.onResponseError(
        exchange,
        new UpstreamError('HANDLER_FAILED', 'the answer was not taken', { cause }),
      )
    }
  }

  #idleS: number | undefined

  /**
   * The answer is there, and its request is not out as far as Node has told: with TLS it tells so a turn late, of every write.
   * The rest of a request that is really not out must not meet the next exchange.
   */
  #endBehindRequest(): void {
    this.#phase = 'ending'
    setImmediate(() => {
      if (this.#phase !== 'ending') return
      if (this.#socket.writableLength === 0) this.#becomeIdle()
      else this.fail(notToBeUsedAgain())
    })
  }

  #becomeIdle(): void {
    if (this.#paused) this.resume()
    this.#phase = 'idle'
    const allowedMs = this.#idleS === undefined ? idleMs : Math.min(idleMs, this.#idleS * 1_000 - idleMarginMs)
    this.#deadlineMs = this.#owner.nowMs + allowedMs
    this.#owner.onIdle(this)
  }

  // ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────────

  #onReady(): void {
    if (this.#phase !== 'connecting') return
    this.#phase = 'idle'
    this.#socket.setKeepAlive(true, 60_000)
    if (this.#exchange) this.#send(this.#exchange)
  }

  #send(exchange: Exchange): void {
    const { request, handler } = exchange
    this.#phase = 'busy'
    this.#headSeen = false
    this.#deadlineMs = this.#owner.nowMs + request.headersTimeoutMs
    const head = encodeHead(this.#owner.host, request)
    if (head === undefined) {
      // Nothing has left.
      this.#phase = 'idle'
      this.fail(new UpstreamError('BAD_REQUEST', 'a header or a path that cannot be sent'))
      return
    }
    handler.onRequestStart(exchange)
    // It may have been aborted there.
    if (this.#exchange !== exchange) return
    this.#parser.expect(request.method)
    const { body } = request
    if (body.length <= smallBodyBytes) writeTogether(this.#socket, head, body)
    else {
      this.#socket.cork()
      this.#socket.write(head.join(''), 'latin1')
      this.#socket.write(body, error => {
        if (!error) exchange.bodySent()
      })
      this.#socket.uncork()
    }
  }

  /** @returns true: reading goes on, unless it has been paused meanwhile */
  #onRead(length: number): boolean {
    if (this.#phase === 'closed') return true
    const bytes = Buffer.allocUnsafe(length)
    readBuffer.copy(bytes, 0, 0, length)
    try {
      this.#parser.feed(bytes)
      // Behind it: with the head, the patience for an answer's middle begins.
      this.#touch()
    } catch (error) {
      this.fail(error as Error)
    }
    return true
  }

  #onEnded(): void {
    try {
      this.#parser.finish()
      this.fail(otherSideClosed())
    } catch (error) {
      this.fail(error as Error)
    }
  }

  #touch(): void {
    const exchange = this.#exchange
    if (this.#headSeen && exchange) this.#deadlineMs = this.#owner.nowMs + exchange.request.idleTimeoutMs
  }
}

function notToBeUsedAgain(): UpstreamError {
  return new UpstreamError('CLOSED', 'not to be used again')
}

function otherSideClosed(): UpstreamError {
  return new UpstreamError('OTHER_SIDE_CLOSED', 'the other side closed the connection')
}
