import type { RealtimeCall } from '@sluice/contracts'
import type { Principal } from '../authenticate.ts'
import { holdBudget } from '../hold-budget.ts'
import { classNotOpen } from '../path-class.ts'
import { Refusal } from '../refusal.ts'
import { readHeaders } from '../request-headers.ts'
import { type GatewayDeps, headersToForward } from '../request-path.ts'
import type { Route } from '../resolve-route.ts'
import { requireRoom } from '../room-access.ts'
import type { SocketContext } from './socket-context.ts'
import { callEndpoint } from './socket-endpoints.ts'

/** What is recorded of a call: all that another gateway needs to meter it on, or to end it. No credential. */
export function recordOfCall(
  { principal, callId, headers, route, openedAtMs }: SocketContext,
  call: { id: string; model: string },
  run: { gatewayId: string; epoch: number },
): RealtimeCall {
  return {
    call_id: call.id,
    state: 'metered',
    gateway_id: run.gatewayId,
    epoch: run.epoch,
    renewed_at_ms: openedAtMs,
    access: route.access,
    made_by: callId,
    identity: principal.identity,
    claimed: headers.claimed,
    by_client_secret: principal.clientSecret !== undefined,
    model: call.model,
    model_lists: principal.modelLists.map(list => [...list]),
    created_at_ms: openedAtMs,
    left_turns: [],
  }
}

export type CallDeps = Pick<GatewayDeps, 'keys' | 'projects' | 'rooms' | 'routes' | 'budgets'>

/**
 * The session of a call that another gateway has made, as its maker stands now. Its credential is not here: a joined call
 * asks for no turn. @throws Refusal where its maker may not go on
 */
export function contextOfCall(deps: GatewayDeps, call: RealtimeCall): SocketContext {
  const headers = { ...readHeaders([]), claimed: call.claimed }
  headersToForward(deps, { headers }, { span: undefined })
  return {
    callId: call.made_by,
    match: sidebandMatch(call.call_id, call.identity.room),
    endpoint: callEndpoint,
    headers,
    principal: principalOfCall(deps, call),
    route: routeOfCall(deps, call),
    model: call.model,
    openedAtMs: call.created_at_ms,
  }
}

/** Where the sideband of a call is. */
export function sidebandMatch(callId: string, room: string | undefined): SocketContext['match'] {
  const query = `?call_id=${callId}`
  return { dialect: 'openai', path: '/v1/realtime', query, room, endpoint: callEndpoint, parameter: undefined }
}

/**
 * @throws Refusal where the key is gone or whose it is may not call now, the project is disabled, the room does not take the call,
 * the class is closed for its client secrets, the money spent
 */
export function principalOfCall(deps: CallDeps, { identity, by_client_secret, ...call }: RealtimeCall): Principal {
  const active = identity.key_id === undefined ? undefined : deps.keys.findById(identity.key_id)
  const key = active?.key
  const untilMs = key?.expires_at_ms ?? Number.POSITIVE_INFINITY
  if (key?.project_id !== identity.project_id || untilMs <= Date.now())
    throw new Refusal('credential_revoked', 'The key of this call has been revoked or has expired.')
  if (!active?.mayCall)
    throw new Refusal('llm_not_granted', 'Whoever made this call may not call models in its project any more.')
  const project = deps.projects.find(identity.project_id)
  if (!project || project.disabled) throw new Refusal('project_disabled', 'The project of this call has been disabled.')
  if (by_client_secret && project.path_classes?.realtime_calls !== true)
    throw classNotOpen('A client secret', 'realtime_calls', project)
  const models = requireRoom(deps, identity, project)
  holdBudget(deps, { identity, project }, 'openai', call.model, call.claimed, Date.now(), call.access)
  return {
    identity,
    project,
    modelLists: models ? [...call.model_lists, models] : call.model_lists,
    expiresAtMs: untilMs,
  }
}

/** The way to a call: by the access it was made with. @throws Refusal where that is no longer there */
export function routeOfCall(
  { routes, projects }: Pick<CallDeps, 'routes' | 'projects'>,
  { access, identity }: Pick<RealtimeCall, 'access' | 'identity'>,
): Route {
  const route = routes.ofAccess(projects.find(identity.project_id), 'openai', access)
  if (!route)
    throw new Refusal('provider_not_configured', 'The credential that this call was made with is no longer there.')
  return route
}
