import type { IncomingMessage, ServerResponse } from 'node:http'
import type { CallRefusedData } from '@sluice/contracts'
import { formatTraceparent, type SampledSpans } from '@sluice/telemetry'
import { allowModel, type PriceBooksOfCall } from './allow-model.ts'
import { type AuthenticateDeps, authenticate, type Principal } from './authenticate.ts'
import type { Batches } from './batches/batches.ts'
import type { CountedPrompts } from './bounds/counted-prompts.ts'
import type { AdmittedCall } from './call.ts'
import { recogniseClient } from './client-app.ts'
import type { ClientAnswer, ClientExchange } from './client-exchange.ts'
import type { Endpoint } from './endpoints.ts'
import { type ForwardDeps, forward } from './forward.ts'
import { HeldBody } from './held-body.ts'
import { holdBudget, holdNothing } from './hold-budget.ts'
import { JournalUnavailableError } from './journal/journal-unavailable-error.ts'
import type { LeaseDeps } from './leases/take-money.ts'
import type { PathMatch } from './match-path.ts'
import { allowNamedModels } from './named-models/allow-named-models.ts'
import { ownHandlers } from './own-handlers.ts'
import { requireOpenClass } from './path-class.ts'
import { type PaidCall, paidHoldOf, payForCall } from './pay-for-call.ts'
import { proveAgain } from './prove-again.ts'
import { type BodyMemory, type ModelRequest, readModelRequest, readPlainRequest } from './read-request.ts'
import { requireOwnReferences } from './references/require-own-references.ts'
import { meteringUnavailable, Refusal } from './refusal.ts'
import { answerRefusal, type RefusalAudience } from './refusal-answer.ts'
import { asFailedResponse } from './refusal-stream.ts'
import { refusedCall } from './refused-call.ts'
import type { ReadHeaders } from './request-headers.ts'
import { type RouteResolver, withOurs } from './resolve-route.ts'
import type { CallKeeper } from './sockets/call-keeper.ts'
import type { Sockets } from './sockets/socket-upgrade.ts'
import type { BackgroundPoller } from './stored/background-poller.ts'
import type { SoundMeter } from './uploads/sound-meter.ts'
import type { Spool } from './uploads/spool.ts'
import { RepeatedHeaders } from './upstream/repeated-headers.ts'
import { newUuidV7 } from './uuid-v7.ts'
import type { BudgetsView } from './views/budgets-view.ts'
import type { MadeObjects } from './views/made-objects-view.ts'
import type { PricesView } from './views/prices-view.ts'
import type { StoredResponses } from './views/stored-responses-view.ts'

/** Everything a call reads or writes. All of it is in this process's memory or on its disk. */
export interface GatewayDeps extends ForwardDeps, AuthenticateDeps {
  sockets: Sockets
  calls: CallKeeper
  budgets: BudgetsView
  leases: LeaseDeps
  prompts: CountedPrompts
  prices: PricesView
  routes: RouteResolver
  bodyMemory: BodyMemory
  batches: Batches
  stored: { records: StoredResponses; poller: BackgroundPoller }
  made: MadeObjects
  spool: Spool
  soundMeter: SoundMeter
  spans: SampledSpans
  gatewayId: string
  /** As clients know this installation: refusals link to it. */
  publicOrigin: string | undefined
  /** Says what keeps new calls out now: shutting down, stale views; undefined: nothing. */
  closedFor: (nowMs: number) => Refusal | undefined
  onRefused: (refused: CallRefusedData) => void
}

/** A call that may use its path, before its body is read and anything is admitted. */
export interface AuthenticatedCall {
  callId: string
  /** When it came; once it has waited, when it was proved again. */
  nowMs: number
  /** On the clock of `performance.now()`. */
  startedAt: number
  match: PathMatch
  endpoint: Endpoint
  exchange: ClientExchange
  response: ClientAnswer
  headers: ReadHeaders
  /** As proved at `nowMs`: who waits asks {@link proveAgain} before believing it. */
  principal: Principal
  prices: PriceBooksOfCall
  /** Anything may have changed since it was proved. */
  hasWaited: boolean
  /** Its body in memory, once it has been received. */
  held?: HeldBody
  /** Writes a refusal as the answer. */
  refuse: (refusal: Refusal) => void
  /** What a refusal from now on says of the request. */
  onModel: (model: string) => void
}

/** One that came through Node's server. */
export interface HttpCall extends AuthenticatedCall {
  request: IncomingMessage
  response: ServerResponse
}

/**
 * One call, top to bottom: match → authenticate → allow → hold → route → forward → relay → settle. Matching came first
 * (`match-path.ts`); relay and settle happen in `forward`, as the provider answers. A call that came whole waits for nothing
 * until it is at its provider, unless it is the first with its token or names an id that this gateway does not know. What has
 * waited, also for its own body, is proved again (`prove-again.ts`) before it is admitted.
 */
export async function handleCall(deps: GatewayDeps, match: PathMatch, exchange: ClientExchange): Promise<void> {
  const startedAt = performance.now()
  const nowMs = Date.now()
  const callId = newUuidV7(nowMs)
  let headers: ReadHeaders | undefined
  let principal: Principal | undefined
  let requestedModel: string | undefined
  const refuse = (refusal: Refusal): void =>
    refuseCall(deps, { match, exchange, callId, headers, principal, requestedModel }, refusal)
  try {
    headers = exchange.readHeaders()
    const { endpoint } = match
    if (!endpoint) throw pathNotSupported(match, exchange.method)
    if (headers.via !== '' && namesUs(headers.via, deps.gatewayId)) {
      throw new Refusal(
        'proxy_loop',
        'This request has already passed this gateway: a provider base URL points back to it.',
      )
    }
    const closed = deps.closedFor(nowMs)
    if (closed) throw closed

    const sinceMs = endpoint.takesClientSecrets ? nowMs : undefined
    const proved = authenticate(deps, headers, match.room, nowMs, sinceMs)
    principal = proved instanceof Promise ? await whileProved(exchange, proved) : proved
    requireOpenClass(endpoint, principal.project)
    const prices = booksOf(deps.prices, principal, nowMs)
    const onModel = (model: string): void => {
      requestedModel = model
    }
    const call: AuthenticatedCall = {
      callId,
      nowMs,
      startedAt,
      match,
      endpoint,
      exchange,
      response: exchange.answer,
      headers,
      principal,
      prices,
      refuse,
      onModel,
      hasWaited: proved instanceof Promise,
    }
    const handled = handle(deps, call)
    // Whatever its handler does from here on, it does after a wait.
    call.hasWaited = true
    if (handled) await handled
  } catch (error) {
    refuse(toRefusal(error, deps, callId))
  }
}

/** Waits for a proof. @throws Refusal where the client has left meanwhile */
async function whileProved({ answer }: ClientExchange, proof: Promise<Principal>): Promise<Principal> {
  const principal = await proof
  if (answer.destroyed) throw new Refusal('invalid_request', 'The client left before its request was sent.')
  return principal
}

/** Does what the row says. Only some rows take a call whose request came whole. */
function handle(deps: GatewayDeps, call: AuthenticatedCall): void | Promise<void> {
  const { handledBy, name } = call.endpoint
  if (handledBy === 'provider') return forwardToProvider(deps, call)
  if (handledBy === 'create-response') return ownHandlers['create-response'](deps, call)
  const { http } = call.exchange
  if (!http) throw new Error(`${name} is for Node's server`)
  return ownHandlers[handledBy](deps, Object.assign(call, http))
}

/** Whether a call on this row may come as one piece, by no server of Node's. */
export function takesWhole(endpoint: Endpoint): boolean {
  return endpoint.body === 'json' && (endpoint.handledBy === 'provider' || endpoint.handledBy === 'create-response')
}

/** The steps of a call to its provider that a row may do in a way of its own. */
export interface Forwarding {
  /** Reads the body, and what must be known of it. @throws Refusal */
  read: (deps: GatewayDeps, call: AuthenticatedCall) => ModelRequest | Promise<ModelRequest>
  admit: (deps: GatewayDeps, call: AuthenticatedCall, asked: ModelRequest) => AdmittedCall
  send: (deps: GatewayDeps, call: AuthenticatedCall, admitted: AdmittedCall, asked: ModelRequest) => void
}

/** What most rows do: the call is sent as it came. */
export const asItCame: Forwarding = {
  read: readRequest,
  admit,
  send: (deps, call, admitted) =>
    forward(deps, admitted, repeatedHeaders(deps, call, admitted), call.response, call.refuse),
}

/** Reads the body, admits the call, looks up what it refers to, and sends it to its provider; at once, where nothing is to be waited for. */
export function forwardToProvider(
  deps: GatewayDeps,
  call: AuthenticatedCall,
  how: Forwarding = asItCame,
): void | Promise<void> {
  const reading = how.read(deps, call)
  return reading instanceof Promise
    ? reading.then(asked => forwardAsked(deps, call, how, asked))
    : forwardAsked(deps, call, how, reading)
}

function forwardAsked(
  deps: GatewayDeps,
  call: AuthenticatedCall,
  how: Forwarding,
  asked: ModelRequest,
): void | Promise<void> {
  const admitted = how.admit(deps, call, asked)
  const { body, references } = asked
  const lookUp = requireOwnReferences(deps, admitted, { body, references, shape: call.endpoint.shape })
  if (!lookUp) return payAndSend(deps, call, how, asked, admitted)
  return whileAwaited(call, lookUp).then(() => payAndSend(deps, call, how, asked, how.admit(deps, call, asked)))
}

/** Holds the money of its hard budgets, then sends it, with less output where less is there. */
export function payAndSend(
  deps: GatewayDeps,
  call: AuthenticatedCall,
  how: Forwarding,
  asked: ModelRequest,
  admitted: AdmittedCall,
): void | Promise<void> {
  const paying = payForCall(deps, admitted, asked)
  if (!paying) return how.send(deps, call, admitted, asked)
  if (!(paying instanceof Promise)) return sendPaid(deps, call, how, admitted, paying)
  call.response.on('close', () => deps.leases.client.line.giveUp(admitted.eventId))
  return paying.then(paid => {
    // It has waited: whoever may not call any more, or has left, holds nothing. What it holds is of the budgets of then.
    try {
      if (call.response.destroyed) throw new Refusal('invalid_request', 'The client left before its request was sent.')
      const again = how.admit(deps, call, asked)
      again.eventId = admitted.eventId
      return sendPaid(deps, call, how, again, paid)
    } catch (error) {
      paid.money?.release()
      throw error
    }
  })
}

function sendPaid(
  deps: GatewayDeps,
  call: AuthenticatedCall,
  how: Forwarding,
  admitted: AdmittedCall,
  { money, asked, clampedTo, clampedBy, pace, prompt }: PaidCall,
): void {
  try {
    admitted.money = money
    admitted.hold = paidHoldOf(deps.leases, admitted.hold, money)
    admitted.clampedTo = clampedTo
    admitted.clampedBy = clampedBy
    admitted.pace = pace
    admitted.prompt = prompt
    admitted.body = asked.body
    admitted.limits = asked.limits
    how.send(deps, call, admitted, asked)
  } catch (error) {
    money?.release()
    throw error
  }
}

/** Waits for a look-up. @throws Refusal where it says no, or where the client has left meanwhile: nothing is sent for nobody */
async function whileAwaited(call: AuthenticatedCall, lookUp: Promise<void>): Promise<void> {
  await lookUp
  if (call.response.destroyed) throw new Refusal('invalid_request', 'The client left before its request was sent.')
}

/** Reads the body into memory, and what must be known of it. @throws Refusal */
export function readRequest(deps: GatewayDeps, call: AuthenticatedCall): ModelRequest | Promise<ModelRequest> {
  const read = (received: Buffer): ModelRequest =>
    call.endpoint.model === 'json' ? readModelRequest(call.endpoint, received) : readPlainRequest(received)
  const received = receiveBody(deps, call)
  return received instanceof Promise ? received.then(read) : read(received)
}

/** The whole body, in memory until it is with the provider; where it is not forwarded, until the answer has ended. */
export function receiveBody(deps: GatewayDeps, call: AuthenticatedCall): Buffer | Promise<Buffer> {
  const received = call.exchange.receive(call.endpoint, deps.bodyMemory)
  if (!(received instanceof Promise)) return holdBody(deps, call, received)
  const waitingSince = performance.now()
  return received.then(body => {
    // What the client takes to send its body is not our overhead.
    call.startedAt += performance.now() - waitingSince
    return holdBody(deps, call, body)
  })
}

function holdBody(deps: GatewayDeps, call: AuthenticatedCall, body: Buffer): Buffer {
  const held = new HeldBody(deps.bodyMemory, body.length)
  call.held = held
  call.response.on('close', () => {
    if (!held.isForwarded) held.release()
  })
  return body
}

/**
 * Proves again what has waited, allows, holds and routes: what comes back may go to its provider, now. Nobody can cut it before
 * it is with `forward` or `exchange`: whoever waits for anything in between admits again. @throws Refusal
 */
export function admit(deps: GatewayDeps, call: AuthenticatedCall, asked: ModelRequest): AdmittedCall {
  proveAgain(deps, call)
  const { endpoint, match, principal, prices, headers, nowMs } = call
  const { model } = asked
  call.onModel(model)
  if (endpoint.model !== 'none')
    allowModel(principal, match.dialect, model, prices, endpoint.shape, undefined, asked.sound?.names)
  if (asked.named) allowNamedModels(principal, match.dialect, asked.named, prices, endpoint.shape)
  const hold = endpoint.free
    ? holdNothing(deps.budgets, principal.identity, headers.claimed)
    : holdBudget(deps, principal, match.dialect, model, headers.claimed, nowMs)
  return {
    callId: call.callId,
    eventId: newUuidV7(nowMs),
    attempt: 1,
    admittedAtMs: nowMs,
    startedAt: call.startedAt,
    endpoint,
    match,
    client: headers.client,
    claimed: headers.claimed,
    principal,
    requestedModel: model,
    streamed: asked.streamed,
    estimatedInputTokens: asked.estimatedInputTokens,
    asked: asked.asked,
    media: asked.media,
    limits: asked.limits,
    body: asked.body,
    held: call.held,
    binary: asked.binary,
    sound: asked.sound,
    bodySample: undefined,
    withholdUsage: asked.withholdUsage,
    wantsReceipt: headers.wantsReceipt,
    prices,
    hold,
    route: deps.routes.resolve(principal.project, match.dialect, principal.identity.team_id),
    span: deps.spans.begin(headers.traceparent),
    // Set later: a call that has a place for them from here on never changes its form.
    money: undefined,
    holder: undefined,
    pace: undefined,
    prompt: undefined,
    clampedTo: undefined,
    clampedBy: undefined,
  }
}

/** The client's headers as they go on: with our mark, and with our span in place of the client's. */
export function headersToForward(
  deps: GatewayDeps,
  { headers }: Pick<AuthenticatedCall, 'headers'>,
  { span }: Pick<AdmittedCall, 'span'>,
): string[] {
  const forwarded = [...headers.forwarded]
  if (span) replaceTraceparent(forwarded, formatTraceparent(span.context))
  forwarded.push('via', headers.via === '' ? ownVia(deps.gatewayId) : `${headers.via}, ${ownVia(deps.gatewayId)}`)
  return forwarded
}

/** The same, with what proves us to the provider: written once for all requests of a connection that have the same headers. */
export function repeatedHeaders(
  deps: GatewayDeps,
  call: Pick<AuthenticatedCall, 'headers'>,
  { span, route }: Pick<AdmittedCall, 'span' | 'route'>,
): RepeatedHeaders {
  const { headers } = call
  if (!span && headers.sent?.route === route) return headers.sent.headers
  const repeated = new RepeatedHeaders(withOurs(headersToForward(deps, call, { span }), route))
  if (!span) headers.sent = { route, headers: repeated }
  return repeated
}

function ownVia(gatewayId: string): string {
  return `1.1 sluice-${gatewayId}`
}

export function namesUs(via: string, gatewayId: string): boolean {
  return via.split(',').some(hop => hop.trim().endsWith(` sluice-${gatewayId}`))
}

export function booksOf(prices: PricesView, principal: Principal, nowMs: number): PriceBooksOfCall {
  const book = prices.current(nowMs)
  if (!book)
    throw new Refusal('view_stale', 'This gateway has no price book yet. Try again in a moment.', { retryAfterS: 1 })
  const override = prices.override(principal.project.project_id, nowMs)
  if (override === 'missing')
    throw new Refusal('view_stale', "This gateway has not got the project's own prices yet. Try again in a moment.", {
      retryAfterS: 1,
    })
  return { book, override }
}

function replaceTraceparent(headers: string[], traceparent: string): void {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === 'traceparent') {
      headers[i + 1] = traceparent
      return
    }
  }
  headers.push('traceparent', traceparent)
}

export function pathNotSupported(match: PathMatch, method: string): Refusal {
  if (match.dialect === 'openai' && /^\/v1\/realtime\/calls\/[^/]+\/(?:accept|reject|refer)$/.test(match.path))
    return new Refusal(
      'path_not_supported',
      `${method} ${match.path} is for calls by telephone (SIP), which are not open: they come in past this gateway, unmetered. Make a call by POST /v1/realtime/calls; POST …/hangup ends it.`,
    )
  if (match.dialect === 'openai' && match.path.startsWith('/v1/realtime/'))
    return new Refusal(
      'path_not_supported',
      `${method} ${match.path} is not open: what it gives out would reach the provider past this gateway, unmetered. Open a socket at /v1/realtime, or make a call by POST /v1/realtime/calls.`,
    )
  return new Refusal(
    'path_not_supported',
    `${method} ${match.path} is not a path of this proxy's ${match.dialect} side. The README lists the paths.`,
  )
}

/** What is no refusal is a fault of ours: the caller gets the call id, the operator the error. */
export function toRefusal(error: unknown, deps: GatewayDeps, callId: string): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof JournalUnavailableError) return meteringUnavailable(error)
  deps.onInternalError(error, callId)
  return new Refusal('internal', 'internal')
}

interface RefusedContext {
  match: PathMatch
  exchange: ClientExchange
  callId: string
  headers: ReadHeaders | undefined
  principal: Principal | undefined
  requestedModel: string | undefined
}

function acceptOf({ forwarded }: ReadHeaders): string | undefined {
  return forwarded.find((_, at) => at % 2 === 1 && forwarded[at - 1]?.toLowerCase() === 'accept')
}

function refuseCall(deps: GatewayDeps, context: RefusedContext, refusal: Refusal): void {
  const { match, exchange, callId, headers, principal } = context
  const { answer: response } = exchange
  const nowMs = Date.now()
  const client = headers?.client ?? recogniseClient({ userAgent: '' })
  const audience: RefusalAudience = {
    dialect: match.dialect,
    refusalClass: client.refusalClass,
    callId,
    nowMs,
    budgetStatus: principal?.project.budget_status,
    publicOrigin: deps.publicOrigin,
  }
  const plain = answerRefusal(refusal, audience)
  const asked = { endpoint: match.endpoint?.name, accept: headers && acceptOf(headers) }
  const answer = asFailedResponse(refusal, plain, audience, asked) ?? plain
  const write = (): void => {
    if (response.headersSent || response.destroyed) return
    // A body that nobody reads would hold the connection; its end is waited for no longer. Without Node's server that is known.
    if (exchange.http && !exchange.isComplete) answer.headers.push('connection', 'close')
    answer.headers.push('content-length', String(Buffer.byteLength(answer.body)))
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
  }
  if (exchange.isComplete) write()
  else void exchange.takeRest().then(write)
  deps.onRefused(
    refusedCall(deps.gatewayId, callId, refusal, answer.status, {
      identity: principal?.identity,
      claimed: headers?.claimed ?? {},
      dialect: match.dialect,
      endpoint: match.endpoint?.name ?? 'unknown',
      requestedModel: context.requestedModel,
    }),
  )
}
