import { sseEvent } from './endings/stream-ending.ts'
import type { Refusal } from './refusal.ts'
import type { RefusalAnswer, RefusalAudience } from './refusal-answer.ts'
import { metadataOf } from './refusal-answer.ts'

/**
 * Of a no that is over in a moment, what Codex waits for: it ends its turn at any 429 over HTTP, but a response that has failed
 * for a rate limit it asks for again, after the time that the message names. Undefined: the answer is good as it is.
 * @param accept of its request: it streams what it asks for
 */
export function asFailedResponse(
  refusal: Refusal,
  answer: RefusalAnswer,
  { refusalClass, callId, nowMs }: RefusalAudience,
  { endpoint, accept }: { endpoint: string | undefined; accept: string | undefined },
): RefusalAnswer | undefined {
  if (refusalClass !== 'codex' || endpoint !== 'responses' || !accept?.includes('text/event-stream')) return undefined
  if ((refusal.reason !== 'rate_limited' && refusal.reason !== 'budget_held') || refusal.retryAfterS === undefined)
    return undefined
  const told = /try again in \d+s/.test(refusal.message)
  const message = told ? refusal.message : `${refusal.message} Please try again in ${refusal.retryAfterS}s.`
  const error = { code: 'rate_limit_exceeded', message, metadata: metadataOf(refusal, callId) }
  const response = {
    id: `resp_${callId}`,
    object: 'response',
    created_at: Math.floor(nowMs / 1000),
    status: 'failed',
    output: [],
    error,
  }
  const headers: string[] = []
  for (let at = 0; at < answer.headers.length; at += 2) {
    const [name = '', value = ''] = answer.headers.slice(at, at + 2)
    if (name === 'content-type') headers.push(name, 'text/event-stream; charset=utf-8')
    else if (name !== 'retry-after') headers.push(name, value)
  }
  const type = 'response.failed'
  return { status: 200, headers, body: sseEvent({ type, sequence_number: 0, response }, type) }
}
