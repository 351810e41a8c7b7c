import { Pool } from 'undici'
import WebSocket from 'ws'
import type { AbortKind, AbortRequest } from './abort-kinds.ts'
import { eventsOf } from './abort-reading.ts'

/** When a client leaves: when so many bytes have come, or after so long. */
export interface Leaving {
  atByte?: number
  afterMs?: number
}

/** What a client saw of a call that it left, or that its provider broke. */
export interface SeenCall {
  /** 0: no head came. */
  status: number
  providerRequestId: string | undefined
  /** Of the body, or of the frames. */
  bytes: number
  // biome-ignore lint/suspicious/noExplicitAny: events of many dialects
  events: any[]
  /** When the client went, if it did; undefined: the reply came to its end first. */
  leftAtMs: number | undefined
}

/** A call under a name of its own, by which its event and its line on the bill are found. */
export interface NamedCall {
  run: string
  apiKey: string
  kind: AbortKind
  request: AbortRequest
  /** More for the simulator, which is not in the request that its reply depends on. */
  orders: Record<string, string>
}

export async function callAndLeave(pool: Pool, origin: string, call: NamedCall, leaving: Leaving): Promise<SeenCall> {
  const seen: SeenCall = { status: 0, providerRequestId: undefined, bytes: 0, events: [], leftAtMs: undefined }
  const leave = new AbortController()
  const go = () => {
    seen.leftAtMs ??= Date.now()
    leave.abort()
  }
  const timer = leaving.afterMs === undefined ? undefined : setTimeout(go, leaving.afterMs)
  const see = (bytes: number) => {
    seen.bytes += bytes
    if (seen.bytes >= (leaving.atByte ?? Number.POSITIVE_INFINITY)) go()
  }
  const headers = {
    authorization: `Bearer ${call.apiKey}`,
    'sluice-tag-run': call.run,
    'x-run': call.run,
    ...call.orders,
    ...call.request.headers,
  }
  try {
    if (call.kind.via === 'frames') await takeTurn(origin, call, headers, seen, see, leave.signal)
    else await takeReply(pool, call, headers, seen, see, leave.signal)
  } catch {
    // Left, or broken: what was seen until then counts.
  }
  clearTimeout(timer)
  return seen
}

async function takeReply(
  pool: Pool,
  { kind, request }: NamedCall,
  headers: Record<string, string>,
  seen: SeenCall,
  see: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const chunks: Buffer[] = []
  try {
    const answer = await pool.request({ method: 'POST', path: request.path, headers, body: request.body, signal })
    seen.status = answer.statusCode
    const id = answer.headers['x-request-id'] ?? answer.headers['request-id']
    seen.providerRequestId = typeof id === 'string' ? id : undefined
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      see(chunk.length)
    }
  } finally {
    if (kind.via === 'events') seen.events = eventsOf(Buffer.concat(chunks))
  }
}

/** One turn on a socket of its own, which is closed behind it. */
function takeTurn(
  origin: string,
  { request }: NamedCall,
  headers: Record<string, string>,
  seen: SeenCall,
  see: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise(resolve => {
    const socket = new WebSocket(origin.replace('http', 'ws') + request.path, { headers })
    signal.addEventListener('abort', () => socket.terminate())
    socket.on('upgrade', () => {
      seen.status = 200
    })
    socket.on('open', () => {
      for (const frame of request.frames ?? []) socket.send(frame)
    })
    socket.on('message', (data: Buffer) => {
      if (signal.aborted) return
      const event = JSON.parse(data.toString()) as { type: string }
      seen.events.push(event)
      see(data.length)
      if (event.type === 'response.completed' || event.type === 'response.done') socket.close()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
  })
}

/** Connections of a client that leaves: each call may cost one. */
export function leavingPool(origin: string, connections: number): Pool {
  return new Pool(origin, {
    connections,
    headersTimeout: 20_000,
    bodyTimeout: 20_000,
    ...(process.platform === 'linux' ? { connect: { localAddress: '127.0.0.2' } } : {}),
  })
}
