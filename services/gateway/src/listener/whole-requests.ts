import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { ClientConnection, type ConnectionOwner, type FindAnswerer } from './client-connection.ts'

/** Over all connections: what has come of requests that are not whole yet. */
const maxWaitingBytes = 32 * 1024 * 1024

/**
 * Stands in front of a server of Node's: of each connection it answers the requests that are plain and not very large, until one comes
 * that is not for it; from then on the connection is the server's.
 */
export class WholeRequests implements ConnectionOwner {
  readonly find: FindAnswerer
  isClosing = false
  #waitingBytes = 0
  readonly #giveToServer: (socket: Socket) => void
  readonly #connections: ClientConnection[] = []
  readonly #timer: NodeJS.Timeout

  /** @param event what the server calls a connection that may be read: `connection`, with TLS `secureConnection` */
  constructor(server: Server, event: 'connection' | 'secureConnection', find: FindAnswerer) {
    this.find = find
    const listeners = server.listeners(event)
    this.#giveToServer = socket => {
      for (const listener of listeners) listener.call(server, socket)
    }
    server.removeAllListeners(event)
    server.on(event, (socket: Socket) => this.#take(socket))
    this.#timer = setInterval(() => this.check(performance.now()), 5_000).unref()
  }

  /** No request is taken from now on; what is being answered is answered. */
  close(): void {
    this.isClosing = true
    clearInterval(this.#timer)
    for (const connection of [...this.#connections]) connection.close()
  }

  /** Ends every connection. */
  destroyAll(): void {
    for (const connection of [...this.#connections]) connection.destroy()
  }

  handOver(socket: Socket): void {
    this.#giveToServer(socket)
  }

  onClosed(connection: ClientConnection): void {
    const { place } = connection
    const last = this.#connections.pop()
    if (last && last !== connection) {
      this.#connections[place] = last
      last.place = place
    }
    connection.place = -1
  }

  takeRoom(bytes: number): boolean {
    if (this.#waitingBytes + bytes > maxWaitingBytes) return false
    this.#waitingBytes += bytes
    return true
  }

  freeRoom(bytes: number): void {
    this.#waitingBytes -= bytes
  }

  #take(socket: Socket): void {
    const connection = new ClientConnection(socket, this, performance.now())
    connection.place = this.#connections.push(connection) - 1
  }

  /** Called each few seconds: ends what has waited for too long. @param nowMs on the clock of `performance.now()` */
  check(nowMs: number): void {
    for (const connection of [...this.#connections]) connection.check(nowMs)
  }
}
