import type { UsageResult } from '@sluice/usage'
import { allowModel, type PriceBooksOfCall } from '../allow-model.ts'
import { authenticateAgain, type Principal } from '../authenticate.ts'
import type { CallBound } from '../bounds/call-bound.ts'
import type { AdmittedCall } from '../call.ts'
import type { Endpoint } from '../endpoints.ts'
import { holdBudget } from '../hold-budget.ts'
import { formerUpstream } from '../integration-changed.ts'
import { type Hold, nothingHeld } from '../met-budgets.ts'
import { allowNamedModels } from '../named-models/allow-named-models.ts'
import type { NamedModel } from '../named-models/named-model-reader.ts'
import { payForBegun } from '../pay-for-call.ts'
import { Refusal } from '../refusal.ts'
import { booksOf, type GatewayDeps } from '../request-path.ts'
import type { SocketContext } from './socket-context.ts'
import { newAttempt } from './turn.ts'

/** What a turn asks for. */
export interface AskedTurn {
  endpoint: Endpoint
  /** The first is the one it is recorded under; each must be allowed. */
  models: readonly string[]
  /** Those that it names for anything else: each must be allowed, too. */
  named?: readonly NamedModel[]
  /** What its input amounts to, where the provider does not say. */
  input: Pick<UsageResult, 'quantities'>
  /** It asks for no output: its input is charged where the provider says so, or answers all the same. */
  isWarmUp?: boolean
  /** The realtime call that it is a turn of, by the provider's ids. */
  inCall?: { callId: string; turnId: string } | undefined
}

/**
 * Lets a turn in as if it were a call of its own: the credential is proved again, the models are allowed, the budgets are
 * held. All of it is in memory, so whoever waits for something before the turn is opened lets it in once more when the wait is
 * over: nothing can cut a turn that is not there yet. @throws Refusal
 */
export function admitTurn(deps: GatewayDeps, context: SocketContext, asked: AskedTurn): AdmittedCall {
  const nowMs = Date.now()
  const closed = deps.closedFor(nowMs)
  if (closed) throw closed
  const principal = proveSocket(deps, context, nowMs)
  return admit(deps, context, asked, principal, booksOf(deps.prices, principal, nowMs), nowMs)
}

/**
 * Whoever opened a socket, as things stand now. A call that was joined has no credential here: its orders to stop reach its
 * session, and its project is the one of now. @throws Refusal
 */
export function proveSocket(deps: GatewayDeps, context: SocketContext, nowMs: number): Principal {
  const { principal, headers, match, endpoint, openedAtMs, joined } = context
  if (joined) return { ...principal, project: deps.projects.find(principal.project.project_id) ?? principal.project }
  const sinceMs = endpoint.takesClientSecrets ? openedAtMs : undefined
  return authenticateAgain(deps, principal, headers, match.room, nowMs, sinceMs)
}

/**
 * Records a turn that the provider has begun by itself: it is charged, so it is metered, whatever our answer to it is.
 * @param asked.boundOf the most that it can use; absent: whoever records it pays for it
 * @returns the call, and the refusal for which it has to be ended
 */
export function recordStartedTurn(
  deps: GatewayDeps,
  context: SocketContext,
  asked: AskedTurn & { boundOf?: (call: AdmittedCall) => CallBound },
): { call: AdmittedCall; refusal: Refusal | undefined } {
  const nowMs = Date.now()
  const prices = booksOfStarted(deps, context, nowMs)
  try {
    const call = admit(deps, context, asked, proveSocket(deps, context, nowMs), prices, nowMs)
    return { call, refusal: asked.boundOf && payForBegun(deps, call, asked.boundOf) }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { call: callOf(deps, context, asked, context.principal, prices, nowMs, nothingHeld), refusal: error }
  }
}

/**
 * The books of what runs already. A project's own that are announced and not here yet keep new turns out; what costs money all
 * the same is rated as the turn before it was, or by the catalogue. @throws Refusal where not even that is here
 */
export function booksOfStarted(
  { prices }: Pick<GatewayDeps, 'prices'>,
  { principal, latestBooks }: SocketContext,
  nowMs: number,
): PriceBooksOfCall {
  try {
    return booksOf(prices, principal, nowMs)
  } catch (error) {
    const book = prices.current(nowMs)
    const known = latestBooks ?? (book && { book, override: undefined })
    if (!known) throw error
    return known
  }
}

function admit(
  deps: GatewayDeps,
  context: SocketContext,
  asked: AskedTurn,
  principal: Principal,
  prices: PriceBooksOfCall,
  nowMs: number,
): AdmittedCall {
  const { match, headers } = context
  const model = asked.models[0]
  if (model === undefined)
    throw new Refusal('model_missing', 'The event names no "model", and the socket has none of its own.')
  for (const each of asked.models) allowModel(principal, match.dialect, each, prices, asked.endpoint.shape)
  if (asked.named) allowNamedModels(principal, match.dialect, asked.named, prices, asked.endpoint.shape)
  requireOwnAccess(deps, context, principal)
  const hold = holdBudget(deps, principal, match.dialect, model, headers.claimed, nowMs, context.route.access)
  context.latestBooks = prices
  return callOf(deps, context, asked, principal, prices, nowMs, hold)
}

/**
 * The team that pays for a turn is that of now, and what a socket is connected with is billed to whoever's it is: a turn goes
 * out under the access of its own team. A joined call is of its team for good. @throws Refusal where it would not
 */
function requireOwnAccess(deps: GatewayDeps, { match, route, joined }: SocketContext, principal: Principal): void {
  if (joined) return
  const { project, identity } = principal
  if (deps.routes.resolve(project, match.dialect, identity.team_id).access !== route.access) throw formerUpstream()
}

function callOf(
  deps: GatewayDeps,
  { match, headers, route }: SocketContext,
  { endpoint, models, input, isWarmUp = false, inCall }: AskedTurn,
  principal: Principal,
  prices: PriceBooksOfCall,
  nowMs: number,
  hold: Hold,
): AdmittedCall {
  const quantities = isWarmUp ? {} : input.quantities
  const names = Object.keys(quantities) as (keyof typeof quantities)[]
  return {
    ...newAttempt(),
    attempt: 1,
    admittedAtMs: nowMs,
    startedAt: performance.now(),
    endpoint,
    match,
    client: headers.client,
    claimed: headers.claimed,
    principal,
    requestedModel: models[0] ?? 'unknown',
    streamed: true,
    estimatedInputTokens: input.quantities.in_text ?? 0,
    asked: {
      quantities,
      provenance: Object.fromEntries(names.map(name => [name, 'estimated' as const])),
      modifiers: {},
    },
    ...(isWarmUp && { isWarmUp }),
    ...(inCall && { inCall }),
    body: Buffer.alloc(0),
    withholdUsage: false,
    wantsReceipt: false,
    prices,
    hold,
    route,
    span: deps.spans.begin(headers.traceparent),
  }
}
