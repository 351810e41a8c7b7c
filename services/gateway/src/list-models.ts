import type { ServerResponse } from 'node:http'
import { type Dialect, responseHeaders } from '@sluice/contracts'
import { isAllowed, type PriceBooksOfCall } from './allow-model.ts'
import { Refusal } from './refusal.ts'
import type { GatewayDeps, HttpCall } from './request-path.ts'
import type { Route } from './resolve-route.ts'

/** A model as lists show it, whatever the dialect. */
interface ListedModel {
  id: string
  provider: Dialect
  route: Route
}

/**
 * Answers `GET /models` and `/models/{id}` from the price books: the models that this credential may call, those of the
 * path's own provider first, in the dialect's own shape. A provider that this project cannot reach is left out.
 * @throws Refusal 403 for a model that is not allowed or not known, which look the same; what keeps every provider away
 */
export function listModels(deps: GatewayDeps, call: HttpCall): void {
  const { match, principal, callId, response } = call
  const own = match.dialect
  const other: Dialect = own === 'openai' ? 'anthropic' : 'openai'
  const routes = [own, other].map(dialect =>
    resolved(() => deps.routes.resolve(principal.project, dialect, principal.identity.team_id)),
  )
  const reachable = routes.filter((route): route is Route => !(route instanceof Refusal))
  const [first] = reachable
  if (!first) throw routes[0]
  const models = reachable.flatMap(route => modelsOf(call, route))
  const id = match.parameter
  if (id === undefined) {
    send(response, listOf(own, models), first, callId)
    return
  }
  const model = models.find(candidate => candidate.id === id)
  if (!model)
    throw new Refusal(
      'model_not_allowed',
      `Model "${id}" is not allowed for this credential, or is not known here. GET /models lists those that are.`,
    )
  send(response, describe(own, model), model.route, callId)
}

function resolved(resolve: () => Route): Route | Refusal {
  try {
    return resolve()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}

function modelsOf({ principal, prices }: HttpCall, route: Route): ListedModel[] {
  const { provider } = route
  return modelIds(prices, provider)
    .filter(id => isAllowed(principal, provider, id))
    .map(id => ({ id, provider, route }))
}

function modelIds(prices: PriceBooksOfCall, provider: Dialect): string[] {
  const ids = new Set([...(prices.override?.listModels(provider) ?? []), ...prices.book.listModels(provider)])
  return [...ids].sort()
}

function listOf(dialect: Dialect, models: readonly ListedModel[]): object {
  const data = models.map(model => describe(dialect, model))
  return dialect === 'openai'
    ? { object: 'list', data }
    : { data, has_more: false, first_id: models[0]?.id ?? null, last_id: models.at(-1)?.id ?? null }
}

/** The owner is who answers: a client of either dialect sees whose model it is and that a simulated one is. */
function describe(dialect: Dialect, { id, provider, route }: ListedModel): object {
  const simulated = route.servedBy === 'simulator'
  return dialect === 'openai'
    ? { id, object: 'model', created: 0, owned_by: simulated ? 'simulator' : provider }
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
