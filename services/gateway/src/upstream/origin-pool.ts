import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { Connection, type ConnectionOwner, type OpenSocket } from './connection.ts'
import type { UpstreamHandler, UpstreamRequest } from './upstream-handler.ts'

export interface OriginOptions {
  /** Whom it trusts; absent: the authorities of Node. */
  secureContext?: SecureContext | undefined
  lookup?: LookupFunction | undefined
}

/**
 * The connections to one origin, kept alive. An exchange takes the connection that was idle last, or a new one: how many
 * there are is bounded by how many calls are let in.
 */
export class OriginPool implements ConnectionOwner {
  readonly host: string
  nowMs = performance.now()
  readonly #url: URL
  readonly #options: OriginOptions
  readonly #all = new Set<Connection>()
  readonly #idle: Connection[] = []
  #tlsSession: Buffer | undefined

  /** @param origin `http://host:port` or `https://host:port` */
  constructor(origin: string, options: OriginOptions) {
    this.#url = new URL(origin)
    this.host = this.#url.host
    this.#options = options
  }

  /** Sends a request. Nothing is thrown: what goes wrong is told to the handler. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.nowMs = performance.now()
    let connection = this.#idle.pop()
    while (connection && !connection.isFresh(this.nowMs)) connection = this.#idle.pop()
    if (!connection) {
      connection = new Connection(this, this.#openSocket)
      this.#all.add(connection)
    }
    connection.start(request, handler)
  }

  /** Called a few times a second: sets the clock, ends what has waited for too long. */
  check(nowMs: number): void {
    this.nowMs = nowMs
    for (const connection of this.#all) connection.check(nowMs)
  }

  onIdle(connection: Connection): void {
    this.#idle.push(connection)
  }

  onClosed(connection: Connection): void {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** Closes every connection; exchanges under way are told `reason`. */
  close(reason: Error): void {
    for (const connection of [...this.#all]) connection.fail(reason)
  }

  readonly #openSocket: OpenSocket = onread => {
    const host = this.#url.hostname.replace(/^\[|\]$/g, '')
    const { lookup, secureContext } = this.#options
    const isTls = this.#url.protocol === 'https:'
    const port = Number(this.#url.port || (isTls ? 443 : 80))
    const to = { host, port, noDelay: true, onread, ...(lookup ? { lookup } : {}) }
    if (!isTls) return { socket: connectTcp(to), readyEvent: 'connect' }
    const socket: Socket = connectTls({
      ...to,
      ALPNProtocols: ['http/1.1'],
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(secureContext && { secureContext }),
      ...(this.#tlsSession ? { session: this.#tlsSession } : {}),
    })
    socket.on('session', (session: Buffer) => {
      this.#tlsSession = session
    })
    return { socket, readyEvent: 'secureConnect' }
  }
}
