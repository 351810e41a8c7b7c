import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { errorBody, errorOfStatus, type ProviderError } from '../provider-error.ts'
import { hashCredential } from '../request-log.ts'
import type { SimulatorState } from '../server.ts'
import { type ClientSecret, SECRET_PREFIX } from './client-secrets.ts'
import { acceptRealtime } from './realtime-socket.ts'
import { acceptResponses } from './responses-socket.ts'

/** One socket on its way through the simulator. */
export interface SocketCall {
  readonly id: string
  readonly socket: WebSocket
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly credentialSha256: string
  /** What an ephemeral credential was made for. */
  readonly clientSecret: ClientSecret | undefined
}

/** What a browser, which can set no header, puts its key behind. */
const keyProtocol = 'openai-insecure-api-key.'

/** The sockets of the OpenAI dialect, also below `/openai`. */
const accepts: { readonly [path: string]: (state: SimulatorState, call: SocketCall) => void } = {
  '/v1/responses': acceptResponses,
  '/v1/realtime': acceptRealtime,
}

/** Lets a server take the sockets of both endpoints. @returns ends them all: a server does not close before its sockets */
export function attachSockets(server: Server, state: SimulatorState, nextId: () => string): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 64 * 1024 * 1024,
    handleProtocols: offered => [...offered].find(name => !name.startsWith(keyProtocol)) ?? false,
  })
  const ids = new WeakMap<IncomingMessage, string>()
  sockets.on('headers', (lines, request) => lines.push(`x-request-id: ${ids.get(request)}`, 'x-simulator: sluice'))
  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const id = nextId()
    ids.set(request, id)
    const url = new URL(request.url ?? '/', 'http://simulator')
    state.requests.add(
      {
        id,
        received_at_ms: Date.now(),
        method: 'GET',
        target: request.url ?? '/',
        http_version: request.httpVersion,
        body: Buffer.alloc(0),
      },
      request.rawHeaders,
    )
    const accept = accepts[url.pathname.startsWith('/openai/') ? url.pathname.slice('/openai'.length) : url.pathname]
    const credential = readCredential(request)
    if (accept === undefined) return refuse(stream, id, errorOfStatus('openai', 404, 'There is no such socket.'))
    if (credential === undefined || credential.startsWith('sk-invalid'))
      return refuse(stream, id, errorOfStatus('openai', 401, 'The credential is missing or not valid.'))
    const clientSecret = state.clientSecrets.find(credential)
    if (credential.startsWith(SECRET_PREFIX) && (!clientSecret || accept !== acceptRealtime))
      return refuse(stream, id, errorOfStatus('openai', 401, 'The ephemeral credential has expired, or is not for it.'))
    const ordered = Number(request.headers['x-sim-upgrade-status'])
    if (ordered >= 400) return refuse(stream, id, errorOfStatus('openai', ordered, 'The simulator was told to fail.'))
    const callId = url.searchParams.get('call_id')
    if (accept === acceptRealtime && callId !== null && !state.realtimeCalls.find(callId))
      return refuse(stream, id, errorOfStatus('openai', 404, 'There is no such call.'))
    sockets.handleUpgrade(request, stream, head, socket => {
      const { headers } = request
      const credentialSha256 = clientSecret?.credentialSha256 ?? hashCredential(credential)
      accept(state, { id, socket, query: url.searchParams, headers, credentialSha256, clientSecret })
    })
  })
  return () => {
    for (const socket of sockets.clients) socket.terminate()
  }
}

function readCredential({ headers }: IncomingMessage): string | undefined {
  const bearer = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  if (bearer !== undefined) return bearer
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map(name => name.trim())
  return offered.find(name => name.startsWith(keyProtocol))?.slice(keyProtocol.length)
}

function refuse(stream: Duplex, id: string, error: ProviderError): void {
  const body = JSON.stringify(errorBody('openai', error, id))
  stream.end(
    `HTTP/1.1 ${error.status} Refused\r\ncontent-type: application/json\r\nx-request-id: ${id}\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
