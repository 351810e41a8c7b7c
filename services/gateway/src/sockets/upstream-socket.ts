import type { IncomingMessage } from 'node:http'
import WebSocket from 'ws'
import type { PathMatch } from '../match-path.ts'
import { Refusal } from '../refusal.ts'
import { type Route, upstreamPath, withCredential } from '../resolve-route.ts'
import type { Upstreams } from '../upstreams.ts'

/** The largest message either side may send. */
export const maxMessageBytes = 16 * 1024 * 1024
const handshakeTimeoutMs = 15_000
const maxRefusalBytes = 64 * 1024

/** A socket to the provider, open and paused, so that no message is missed before someone listens. */
export interface UpstreamSocket {
  socket: WebSocket
  /** The provider's id of the connection. */
  requestId: string | undefined
}

/** The provider answered the handshake with a status: it goes to the client as it is. */
export class UpstreamRefusal extends Error {
  override name = 'UpstreamRefusal'
  readonly status: number
  /** Name, value, … */
  readonly headers: string[]
  readonly body: Buffer
  constructor(status: number, headers: string[], body: Buffer) {
    super(`the provider refused the socket with ${status}`)
    this.status = status
    this.headers = headers
    this.body = body
  }
}

/** Headers of a handshake that belong to one connection alone, or say where a browser stands. */
const ownHeaders = /^(?:sec-websocket-|origin$|content-type$|sec-fetch-|pragma$|cache-control$)/i

/**
 * Opens the provider's side of a socket: no redirects, no compression, the address checked as for calls.
 * @throws UpstreamRefusal with the provider's answer, Refusal where there was none
 */
export function openUpstreamSocket(
  upstreams: Upstreams,
  route: Route,
  match: PathMatch,
  options: { headers: readonly string[]; protocols: readonly string[] },
): Promise<UpstreamSocket> {
  const headers: Record<string, string | string[]> = {}
  const list = withCredential(options.headers, route)
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string
    const value = list[i + 1] as string
    if (ownHeaders.test(name)) continue
    const before = headers[name]
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  const url = `${route.origin.replace(/^http/, 'ws')}${upstreamPath(route, match)}`
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [...options.protocols], {
      headers,
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      handshakeTimeout: handshakeTimeoutMs,
      followRedirects: false,
      ...upstreams.connectOptionsOf(route),
    })
    let requestId: string | undefined
    socket.once('upgrade', (response: IncomingMessage) => {
      const given = response.headers['x-request-id']
      if (typeof given === 'string') requestId = given.slice(0, 128)
    })
    socket.once('open', () => {
      socket.pause()
      socket.removeListener('error', fail)
      resolve({ socket, requestId })
    })
    socket.once('unexpected-response', (request, response: IncomingMessage) => {
      socket.removeListener('error', fail)
      socket.on('error', () => undefined)
      collect(response).then(body => {
        reject(new UpstreamRefusal(response.statusCode ?? 502, refusalHeaders(response), body))
        request.destroy()
      }, reject)
    })
    const fail = (cause: NodeJS.ErrnoException): void => {
      const isPrivate = cause.code === 'EPRIVATEADDRESS'
      reject(
        new Refusal(
          'provider_unreachable',
          isPrivate
            ? `The address of ${route.servedBy} is not a public one, which this installation does not allow.`
            : `${route.servedBy} could not be reached by WebSocket. Try again.`,
          { cause },
        ),
      )
    }
    socket.on('error', fail)
  })
}

async function collect(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    size += (chunk as Buffer).length
    if (size > maxRefusalBytes) break
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

function refusalHeaders({ headers }: IncomingMessage): string[] {
  const kept: string[] = []
  for (const name of ['content-type', 'retry-after', 'x-should-retry', 'x-request-id']) {
    const value = headers[name]
    if (typeof value === 'string') kept.push(name, value)
  }
  return kept
}
