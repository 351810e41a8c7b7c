import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { Server as TlsServer } from 'node:tls'
import { type OriginOptions, OriginPool } from '../src/upstream/origin-pool.ts'
import type { UpstreamController, UpstreamRequest } from '../src/upstream/upstream-handler.ts'

export interface RawProviderOptions extends OriginOptions {
  /** Plain TCP unless said. */
  server?: Server
  /** What the pool calls it, without the port. */
  origin?: string
}

/** A provider that does as `onData` says with the bytes it receives, our connections to it, and how many it has seen. */
export async function startRawProvider(
  t: TestContext,
  onData: (socket: Socket, text: string, connection: number) => void,
  { server = createServer(), origin = 'http://127.0.0.1', ...options }: RawProviderOptions = {},
) {
  let connections = 0
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    const connection = ++connections
    socket.on('data', data => onData(socket, data.toString('latin1'), connection))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const pool = new OriginPool(`${origin}:${(server.address() as AddressInfo).port}`, options)
  t.after(() => {
    pool.close(new Error('test is over'))
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { pool, connections: () => connections, server }
}

/** How a call ended. */
export interface CallResult {
  status: number
  body: string
  error: string | undefined
  /** Something had left. */
  wasSent: boolean
  controller: UpstreamController | undefined
}

/** Sends a call and gives back how it ended. */
export function callProvider(
  pool: OriginPool,
  request: Partial<UpstreamRequest> = {},
  onStart: (controller: UpstreamController) => void = () => {},
): Promise<CallResult> {
  return new Promise(resolve => {
    const result: CallResult = { status: 0, body: '', error: undefined, wasSent: false, controller: undefined }
    pool.dispatch(
      {
        method: 'POST',
        path: '/v1/x?a=1',
        headers: ['x-a', 'b'],
        body: Buffer.from('{}'),
        headersTimeoutMs: 5_000,
        idleTimeoutMs: 5_000,
        ...request,
      },
      {
        onRequestStart(controller) {
          result.wasSent = true
          result.controller = controller
          onStart(controller)
        },
        onResponseStart(_, status) {
          result.status = status
        },
        onResponseData(_, chunk) {
          result.body += chunk.toString('latin1')
        },
        onResponseEnd: () => resolve(result),
        onResponseError(controller, error) {
          assert.equal(controller !== undefined, result.wasSent)
          result.error = (error as { code?: string }).code ?? error.message
          resolve(result)
        },
      },
    )
  })
}
