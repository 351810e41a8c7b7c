import type { RefusalAnswer } from '../refusal-answer.ts'

interface ErrorBody {
  error: Record<string, unknown>
}

/** Headers of a refusal that mean something to a client which has no response to read them from. */
const toldHeaders = new Set(['retry-after', 'x-should-retry', 'sluice-call-id', 'x-request-id'])
const toldFamilies = /^x-(?:ratelimit|codex)-/

/** A refusal as an event of a Responses socket: status and body as HTTP would have them. */
export function responsesErrorEvent(answer: RefusalAnswer, streamId: string | undefined): string {
  const headers: Record<string, string> = {}
  for (let i = 0; i < answer.headers.length; i += 2) {
    const name = answer.headers[i] as string
    if (toldHeaders.has(name) || toldFamilies.test(name)) headers[name] = answer.headers[i + 1] as string
  }
  const { error } = JSON.parse(answer.body) as ErrorBody
  return JSON.stringify({
    type: 'error',
    status: answer.status,
    error,
    headers,
    ...(streamId === undefined ? {} : { stream_id: streamId }),
  })
}

/** A refusal as an event of a realtime session; names the client's event that it answers. */
export function realtimeErrorEvent(answer: RefusalAnswer, callId: string, clientEventId: string | undefined): string {
  const { error } = JSON.parse(answer.body) as ErrorBody
  return JSON.stringify({
    type: 'error',
    event_id: `event_${callId.replaceAll('-', '')}`,
    status: answer.status,
    error: { ...error, event_id: clientEventId ?? null },
  })
}
