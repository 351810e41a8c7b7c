import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Bill } from './bill.ts'
import type { RequestLog } from './request-log.ts'

export interface ControlState {
  readonly bill: Bill
  readonly requests: RequestLog
  readonly attempts: Map<string, number>
}

/** `/simulator/*`: what tests ask the simulator about itself. */
export function answerControl(request: IncomingMessage, reply: ServerResponse, url: URL, state: ControlState): void {
  const [status, body] = findAnswer(`${request.method} ${url.pathname}`, url.searchParams, state)
  reply.writeHead(status, { 'content-type': 'application/json' })
  reply.end(body === undefined ? undefined : JSON.stringify(body))
}

function findAnswer(asked: string, query: URLSearchParams, state: ControlState): [status: number, body?: object] {
  if (asked === 'GET /simulator/bill') {
    const since = Number(query.get('since') ?? 0)
    if (!Number.isSafeInteger(since)) return [400, { error: '"since" is the "seq" of the last record you have.' }]
    const records = state.bill.since(since, query.get('credential_sha256') ?? undefined)
    return [200, { records, next_since: records.at(-1)?.seq ?? since, totals: state.bill.totals() }]
  }
  if (asked === 'DELETE /simulator/bill') {
    state.bill.reset()
    state.attempts.clear()
    return [204]
  }
  if (asked === 'GET /simulator/requests') return [200, { ids: state.requests.ids(query.get('target') ?? '') }]
  if (asked === 'DELETE /simulator/requests') {
    state.requests.reset()
    return [204]
  }
  const billId = after(asked, 'GET /simulator/bill/')
  const requestId = after(asked, 'GET /simulator/requests/')
  const found =
    billId !== undefined
      ? state.bill.find(billId)
      : requestId !== undefined
        ? state.requests[query.has('digest') ? 'digest' : 'find'](requestId)
        : undefined
  return found === undefined ? [404, { error: 'Nothing here, or no longer kept: see the README.' }] : [200, found]
}

function after(text: string, start: string): string | undefined {
  return text.startsWith(start) ? text.slice(start.length) : undefined
}
