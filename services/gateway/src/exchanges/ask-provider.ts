import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { describeFailure, mayHaveArrived, type ProviderFailure } from '../provider-failure.ts'
import { type Route, withOurs } from '../resolve-route.ts'
import type { Upstreams } from '../upstreams.ts'

export interface AskDeps {
  upstreams: Upstreams
  timeouts: { headersMs: number; idleMs: number }
}

export interface ProviderRequest {
  method: 'GET' | 'POST' | 'DELETE'
  /** Whole, query included: see `upstreamPath`, or a dialect's path behind `route.basePath`. */
  path: string
  /** Name, value, …, credentials not included. */
  headers: readonly string[]
  body?: Buffer | Readable
  /** What is larger is no answer; 16 MiB unless said. */
  maxBytes?: number
  signal?: AbortSignal
}

/** An answer with its body in memory. */
export interface ProviderAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

/** The provider gave no whole answer. */
export class ProviderAwayError extends Error {
  override name = 'ProviderAwayError'
  readonly failure: ProviderFailure
  /** Something of the request may have reached it. */
  readonly mayHaveArrived: boolean
  constructor(cause: unknown, servedBy: string) {
    super('the provider gave no answer', { cause })
    this.failure = describeFailure(cause as Error, servedBy)
    this.mayHaveArrived = mayHaveArrived(cause as Error)
  }
}

/** Objects of the batch API are small; a page of a thousand of them is below this. */
const maxAnswerBytes = 16 * 1024 * 1024

/** Asks a provider and collects its answer. @throws ProviderAwayError */
export async function askProvider(deps: AskDeps, route: Route, request: ProviderRequest): Promise<ProviderAnswer> {
  try {
    const { statusCode, headers, body } = await send(deps, route, request)
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > (request.maxBytes ?? maxAnswerBytes)) throw new Error('the answer is larger than any of its kind')
      chunks.push(chunk)
    }
    return { status: statusCode, headers, body: Buffer.concat(chunks) }
  } catch (error) {
    throw new ProviderAwayError(error, route.servedBy)
  }
}

/** Asks a provider for something large. The caller reads the body or destroys it. @throws ProviderAwayError */
export async function askForStream(
  deps: AskDeps,
  route: Route,
  request: ProviderRequest,
): Promise<{ status: number; body: Readable }> {
  try {
    const { statusCode, body } = await send(deps, route, request)
    return { status: statusCode, body }
  } catch (error) {
    throw new ProviderAwayError(error, route.servedBy)
  }
}

function send(deps: AskDeps, route: Route, request: ProviderRequest): Promise<Dispatcher.ResponseData> {
  return deps.upstreams.poolOf(route).request({
    path: request.path,
    method: request.method,
    headers: withOurs(request.headers, route),
    body: request.body ?? null,
    headersTimeout: deps.timeouts.headersMs,
    bodyTimeout: deps.timeouts.idleMs,
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  })
}
