import { EventEmitter } from 'node:events'
import WebSocket from 'ws'

/**
 * Stands where a client's socket would: of a call whose sound goes past this gateway only the provider's events are here,
 * and nobody is told of them. Closing it ends the call.
 */
export class SilentClient extends EventEmitter {
  readonly OPEN = WebSocket.OPEN
  readonly CLOSED = WebSocket.CLOSED
  readonly bufferedAmount = 0
  readyState: number = WebSocket.OPEN
  readonly #hangUp: () => void
  constructor(hangUp: () => void) {
    super()
    this.#hangUp = hangUp
  }
  send(_data: unknown, _options: unknown, sent: () => void): void {
    sent()
  }
  close(code = 1000): void {
    if (this.readyState === WebSocket.CLOSED) return
    this.readyState = WebSocket.CLOSED
    this.#hangUp()
    setImmediate(() => this.emit('close', code, Buffer.alloc(0)))
  }
  terminate(): void {
    this.close()
  }
  pause(): void {}
  resume(): void {}
  /** There is nobody to ask: the other side of the pair says when the call is over. */
  ping(): void {
    setImmediate(() => this.emit('pong'))
  }
}
