import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type NetConnectOpts } from 'node:net'
import { eventually } from '@sluice/test-env'
import WebSocket, { type ClientOptions } from 'ws'
import type { GatewayStack } from '../gateway-stack.ts'

/** Events of two endpoints, as they came. */
// biome-ignore lint/suspicious/noExplicitAny: events of many shapes
export type SocketEvent = any

export interface SocketClient {
  socket: WebSocket
  /** Headers of the answer to the handshake. */
  upgraded: IncomingMessage['headers']
  /** What has come over the connection so far, the handshake's answer included. */
  bytesRead: () => number
  /** Whole messages, byte for byte. */
  frames: { text: string; isBinary: boolean }[]
  events: SocketEvent[]
  send: (event: object | string) => void
  /** Waits until so many events of a type have come. */
  until: (type: string, count?: number) => Promise<SocketEvent[]>
  closed: Promise<{ code: number; reason: string }>
}

export interface OpenOptions extends ClientOptions {
  protocols?: string[]
}

/** Opens a socket through the gateway and keeps what it hears. */
export async function openSocket(
  gateway: Pick<GatewayStack, 'url'>,
  path: string,
  credential: string | undefined,
  { protocols, ...options }: OpenOptions = {},
): Promise<SocketClient> {
  const socket = new WebSocket(gateway.url.replace('http', 'ws') + path, protocols ?? [], {
    ...options,
    headers: { ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }), ...options.headers },
  })
  const frames: SocketClient['frames'] = []
  const events: SocketEvent[] = []
  let upgraded: IncomingMessage['headers'] = {}
  let connection: IncomingMessage['socket'] | undefined
  socket.on('upgrade', response => {
    upgraded = response.headers
    connection = response.socket
  })
  socket.on('message', (data: Buffer, isBinary) => {
    const text = data.toString()
    frames.push({ text, isBinary })
    if (text.startsWith('{')) events.push(JSON.parse(text))
  })
  // Not `once`, which rejects where the handshake is refused and nobody waits for the end.
  const closed = new Promise<{ code: number; reason: string }>(resolve =>
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  await once(socket, 'open')
  socket.on('error', () => undefined)
  return {
    socket,
    upgraded,
    bytesRead: () => connection?.bytesRead ?? 0,
    frames,
    events,
    send: event => socket.send(typeof event === 'string' ? event : JSON.stringify(event)),
    until: (type, count = 1) =>
      eventually(
        () => {
          const found = events.filter(event => event.type === type)
          return found.length >= count && found
        },
        { message: `${count} × ${type}` },
      ),
    closed,
  }
}

/** The answer to a handshake that becomes no socket. */
export async function refusedUpgrade(
  gateway: Pick<GatewayStack, 'url'>,
  path: string,
  options: OpenOptions = {},
): Promise<{ status: number; headers: IncomingMessage['headers']; body: SocketEvent }> {
  const { protocols, ...rest } = options
  const socket = new WebSocket(gateway.url.replace('http', 'ws') + path, protocols ?? [], rest)
  socket.on('error', () => undefined)
  const opened = once(socket, 'open').then(() => assert.fail('the socket was opened'))
  opened.catch(() => undefined)
  const refusal = once(socket, 'unexpected-response') as Promise<[unknown, IncomingMessage]>
  const [, response] = await Promise.race([refusal, opened])
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  socket.terminate()
  const text = Buffer.concat(chunks).toString()
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: text.startsWith('{') ? JSON.parse(text) : text,
  }
}

/** Waits until the provider has been told to hang up a call. */
export async function untilHungUp(gateway: GatewayStack, callId: string): Promise<void> {
  const query = new URLSearchParams({ target: `/${callId}/hangup` })
  await eventually(
    async () => {
      const answer = await fetch(`${gateway.stack.simulatorUrl}/simulator/requests?${query}`)
      return ((await answer.json()) as { ids: string[] }).ids.length > 0
    },
    { message: `the end of ${callId}` },
  )
}

/** The official realtime client speaks TLS only; this sends its bytes over a plain connection. */
export const plainConnection = {
  createConnection: (options: unknown) =>
    connect({ ...(options as object), path: undefined } as unknown as NetConnectOpts),
} as object
