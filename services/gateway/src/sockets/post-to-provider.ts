import { Refusal } from '../refusal.ts'
import type { AuthenticatedCall, GatewayDeps } from '../request-path.ts'
import { type Route, withOurs } from '../resolve-route.ts'

const maxAnswerBytes = 1024 * 1024
const requestTimeoutMs = 30_000

/** A provider's answer, whole. */
export interface Answered {
  status: number
  location: string | undefined
  contentType: string
  requestId: string | undefined
  body: Buffer
}

/** One small request to the provider. @throws Refusal where there is no whole answer */
export async function postToProvider(
  deps: Pick<GatewayDeps, 'upstreams'>,
  route: Route,
  path: string,
  headers: readonly string[],
  body?: Buffer,
): Promise<Answered> {
  try {
    const answer = await deps.upstreams.poolOf(route).request({
      path,
      method: 'POST',
      headers: withOurs(headers, route),
      body: body ?? null,
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
    })
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer.body) {
      size += (chunk as Buffer).length
      if (size > maxAnswerBytes) throw new Error('the answer is too large')
      chunks.push(chunk as Buffer)
    }
    const text = (name: string): string | undefined => {
      const value = answer.headers[name]
      return typeof value === 'string' ? value : undefined
    }
    return {
      status: answer.statusCode,
      location: text('location'),
      contentType: text('content-type') ?? 'application/json',
      requestId: text('x-request-id'),
      body: Buffer.concat(chunks),
    }
  } catch (cause) {
    throw new Refusal('provider_unreachable', `${route.servedBy} could not be reached or broke off. Try again.`, {
      cause,
    })
  }
}

/** Hands a provider's answer to the client. */
export function writeAnswer({ response, callId }: AuthenticatedCall, answer: Answered): void {
  response.writeHead(answer.status, [
    'content-type',
    answer.contentType,
    'content-length',
    String(answer.body.length),
    'sluice-call-id',
    callId,
    'x-request-id',
    answer.requestId ?? callId,
    ...(answer.location === undefined ? [] : ['location', answer.location]),
  ])
  response.end(answer.body)
}
