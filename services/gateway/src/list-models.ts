import type { ServerResponse } from 'node:http'
import { type Dialect, responseHeaders } from '@sluice/contracts'
import { isAllowed, type PriceBooksOfCall } from './allow-model.ts'
import { Refusal } from './refusal.ts'
import type { AuthenticatedCall, GatewayDeps } from './request-path.ts'
import type { Route } from './resolve-route.ts'

/**
 * Answers `GET /models` and `/models/{id}` from the price books: the models that this credential may call, in the dialect's
 * own shape. @throws Refusal 403 for a model that is not allowed or not known, which look the same
 */
export function listModels(deps: GatewayDeps, call: AuthenticatedCall): void {
  const { match, principal, prices, callId, response } = call
  const route = deps.routes.resolve(principal.project, match.dialect)
  const ids = modelIds(prices, match.dialect).filter(id => isAllowed(principal, match.dialect, id))
  const model = match.parameter
  if (model !== undefined) {
    if (!ids.includes(model))
      throw new Refusal(
        'model_not_allowed',
        `Model "${model}" is not allowed for this credential, or is not known here.`,
      )
    send(response, describe(match.dialect, model, route), route, callId)
    return
  }
  const data = ids.map(id => describe(match.dialect, id, route))
  const body =
    match.dialect === 'openai'
      ? { object: 'list', data }
      : { data, has_more: false, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null }
  send(response, body, route, callId)
}

function modelIds(prices: PriceBooksOfCall, dialect: Dialect): string[] {
  const ids = new Set([...(prices.override?.listModels(dialect) ?? []), ...prices.book.listModels(dialect)])
  return [...ids].sort()
}

function describe(dialect: Dialect, id: string, route: Route): Record<string, unknown> {
  const simulated = route.servedBy === 'simulator'
  return dialect === 'openai'
    ? { id, object: 'model', created: 0, owned_by: simulated ? 'simulator' : 'openai' }
    : { type: 'model', id, display_name: simulated ? `${id} (simulator)` : id, created_at: '1970-01-01T00:00:00Z' }
}

function send(response: ServerResponse, body: unknown, route: Route, callId: string): void {
  const text = JSON.stringify(body)
  response.writeHead(200, [
    'content-type',
    'application/json',
    'content-length',
    String(Buffer.byteLength(text)),
    'x-request-id',
    callId,
    responseHeaders.callId,
    callId,
    responseHeaders.servedBy,
    route.servedBy,
  ])
  response.end(text)
}
