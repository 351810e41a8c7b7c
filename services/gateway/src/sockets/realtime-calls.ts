import type { ClaimedDimensions } from '@sluice/contracts'
import { isPlainText, parseUnambiguous } from '@sluice/runtime'
import { transcriptionModelsOf } from '@sluice/usage'
import { allowModel } from '../allow-model.ts'
import { authenticateAgain, type Principal } from '../authenticate.ts'
import { boundTurnOf } from '../bounds/realtime-bound.ts'
import { holdBudget } from '../hold-budget.ts'
import { integrationChanged } from '../integration-changed.ts'
import type { Hold } from '../met-budgets.ts'
import { requireOpenClass } from '../path-class.ts'
import { proveAgain } from '../prove-again.ts'
import { readBody } from '../read-request.ts'
import { refuseSessionReferences } from '../references/refuse-session-references.ts'
import { Refusal } from '../refusal.ts'
import { booksOf, type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { isSameUpstream, upstreamPath } from '../resolve-route.ts'
import { JsonScanError } from '../scan-json.ts'
import { readBoundary } from '../uploads/form-frame.ts'
import { FormReader } from '../uploads/form-reader.ts'
import { recordOfCall, sidebandMatch } from './call-record.ts'
import { sessionRoute } from './client-secret-route.ts'
import { joinCall } from './join-call.ts'
import { requireMoneyFor } from './next-turn.ts'
import { postToProvider, writeAnswer } from './post-to-provider.ts'
import type { SocketContext } from './socket-context.ts'
import { callEndpoint, transcriptionEndpoint } from './socket-endpoints.ts'

const maxSessionBytes = 256 * 1024

/**
 * A call by WebRTC: its sound goes between client and provider, so this gateway joins the call by its id and meters there
 * before the client gets the provider's answer. What cannot be joined is hung up: nothing runs unseen.
 */
export async function createRealtimeCall(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { match, endpoint, request, response } = call
  const body = await readBody(request, endpoint, deps.bodyMemory)
  response.on('close', () => deps.bodyMemory.release(body.length))
  const session = await readSession(request.rawHeaders, body)
  proveAgain(deps, call)
  const { principal } = call
  const model = modelOf(session, match.query, principal)
  call.onModel(model)
  const models = { model, transcriptionModels: transcriptionModelsOf(session) }
  const { hard } = admitCall(deps, principal, models, call.headers.claimed, call.nowMs)
  if (hard.length > 0) {
    // Its session holds it once more: a call that nothing pays for is not made.
    await requireMoneyFor({ hard, bound: boundTurnOf(principal, model, call.prices) }, deps.leases)
    proveAgain(deps, call)
    admitCall(deps, call.principal, models, call.headers.claimed, call.nowMs)
  }
  const { project, identity } = call.principal
  const route = deps.routes.resolve(project, match.dialect, identity.team_id)
  refuseSessionReferences(route, Buffer.from(JSON.stringify({ session })))

  deps.calls.requireRecords()
  const giveBack = deps.sockets.reserve()
  try {
    await makeCall(deps, call, models, body)
  } finally {
    giveBack()
  }
}

interface ModelsOfCall {
  model: string
  transcriptionModels: readonly string[]
}

/** @throws Refusal */
function admitCall(
  deps: GatewayDeps,
  principal: Principal,
  { model, transcriptionModels }: ModelsOfCall,
  claimed: ClaimedDimensions,
  nowMs: number,
): Hold {
  const prices = booksOf(deps.prices, principal, nowMs)
  allowModel(principal, 'openai', model, prices, callEndpoint.shape)
  for (const each of transcriptionModels) allowModel(principal, 'openai', each, prices, transcriptionEndpoint.shape)
  return holdBudget(deps, principal, 'openai', model, claimed, nowMs)
}

/** Makes the call at its provider, and joins it. */
async function makeCall(deps: GatewayDeps, call: HttpCall, models: ModelsOfCall, body: Buffer): Promise<void> {
  const { match, endpoint, principal, nowMs } = call
  const route = deps.routes.resolve(principal.project, match.dialect, principal.identity.team_id)
  const headers = headersToForward(deps, call, { span: undefined })
  const answer = await postToProvider(deps, sessionRoute(route, principal), upstreamPath(route, match), headers, body)
  const id = /\/calls\/([\w.:-]{1,200})$/.exec(answer.location ?? '')?.[1]
  if (answer.status < 200 || answer.status > 299 || id === undefined) {
    writeAnswer(call, answer)
    return
  }
  const context: SocketContext = {
    callId: call.callId,
    match: sidebandMatch(id, match.room),
    endpoint: callEndpoint,
    headers: call.headers,
    principal,
    route,
    model: models.model,
    openedAtMs: nowMs,
  }
  const prove = (): Principal => {
    const provedAtMs = Date.now()
    const proved = authenticateAgain(deps, principal, context.headers, match.room, provedAtMs, nowMs)
    requireOpenClass(endpoint, proved.project)
    admitCall(deps, proved, models, call.headers.claimed, provedAtMs)
    if (!isSameUpstream(route, deps.routes.resolve(proved.project, match.dialect, proved.identity.team_id)))
      throw integrationChanged()
    return proved
  }
  const made = { callId: id, projectId: principal.project.project_id }
  const record = recordOfCall(context, { id, model: models.model }, deps.calls.run)
  const join = () => joinCall(deps, context, { ...record, prove, hangUp: () => deps.calls.end(deps, made, context) })
  try {
    await deps.calls.begin(deps, record, context, join)
  } catch (cause) {
    if (cause instanceof Refusal && cause.reason !== 'provider_unreachable') throw cause
    throw new Refusal(
      'provider_unreachable',
      `The call was made and hung up again: ${route.servedBy} did not let this gateway join it, so what it costs could not be metered. Try again.`,
      { cause },
    )
  }
  writeAnswer(call, answer)
}

/** Ends a call of this project, whichever gateway meters it. One that is not known may be another project's. */
export async function hangUpRealtimeCall(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { match, principal, response } = call
  const made = { callId: match.parameter ?? '', projectId: principal.project.project_id }
  // One that is metered here is ended though NATS be away.
  const isOver = await (deps.sockets.hangUp(made) ?? deps.calls.hangUp(deps, made))
  if (isOver === undefined) throw new Refusal('not_found', 'There is no such call of this project.')
  if (!isOver)
    throw new Refusal(
      'provider_unreachable',
      'The provider has not ended the call yet. This gateway goes on trying; you need not.',
      { retryAfterS: 5 },
    )
  response.writeHead(200, ['sluice-call-id', call.callId, 'content-length', '0'])
  response.end()
}

async function readSession(rawHeaders: readonly string[], body: Buffer): Promise<unknown> {
  const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-type')
  if (!/^multipart\//i.test(rawHeaders[at + 1] ?? '')) return undefined
  const reader = new FormReader(readBoundary(rawHeaders), new Set(['session']), maxSessionBytes)
  await reader.write(body)
  const text = (await reader.finish()).fields.get('session')
  if (text === undefined) return undefined
  try {
    return parseUnambiguous(text)
  } catch (error) {
    if (!(error instanceof JsonScanError)) throw error
    throw new Refusal('invalid_request', error.message.replace('body', '"session" of the form'))
  }
}

/** Of the session, else of the URL, else of the client secret; all say the same, or none is trusted. */
function modelOf(session: unknown, query: string, { clientSecret }: Principal): string {
  const inSession = typeof session === 'object' && session !== null ? (session as { model?: unknown }).model : undefined
  const named = [inSession, ...new URLSearchParams(query).getAll('model'), clientSecret?.model].filter(
    model => model !== undefined,
  )
  const [model] = named
  if (typeof model !== 'string' || model === '' || model.length > 256 || !isPlainText(model))
    throw new Refusal('model_missing', 'The call names no usable "model", in its session or as "?model=".')
  if (named.some(other => other !== model)) throw new Refusal('invalid_request', 'The call names two models. Name one.')
  return model
}
