import { hash } from 'node:crypto'
import { isPlainText } from '@sluice/runtime'
import { transcriptionModelsOf } from '@sluice/usage'
import { allowModel } from '../allow-model.ts'
import { holdBudget } from '../hold-budget.ts'
import { proveAgain } from '../prove-again.ts'
import { refuseSessionReferences } from '../references/refuse-session-references.ts'
import { Refusal } from '../refusal.ts'
import { type AuthenticatedCall, type GatewayDeps, headersToForward, receiveBody } from '../request-path.ts'
import { upstreamPath } from '../resolve-route.ts'
import type { ClientSecretGrant } from './client-secret.ts'
import { upstreamOf } from './client-secret-route.ts'
import { postToProvider, writeAnswer } from './post-to-provider.ts'
import { callEndpoint, transcriptionEndpoint } from './socket-endpoints.ts'

type JsonObject = Record<string, unknown>

/** What a provider's secret may look like: nothing that JSON would write in another way. */
const providerSecret = /^[\w.~+/=-]{8,1024}$/

/**
 * Makes a secret for a browser. The provider makes one for the session that was asked for; the client gets ours in its place,
 * with the provider's sealed inside: it is good at this gateway alone, so that what it is used for is metered.
 */
export async function createClientSecret(deps: GatewayDeps, call: AuthenticatedCall): Promise<void> {
  const { match, headers } = call
  const asked = readAsked(match.path, await receiveBody(deps, call))
  proveAgain(deps, call)
  const { principal, prices, nowMs } = call
  const models = [...(asked.model === undefined ? [] : [asked.model]), ...asked.transcriptionModels]
  const [first] = models
  if (first === undefined)
    throw new Refusal('model_missing', 'The session names no model, and none that writes down what is heard.')
  call.onModel(first)
  if (asked.model !== undefined) allowModel(principal, match.dialect, asked.model, prices, callEndpoint.shape)
  for (const each of asked.transcriptionModels)
    allowModel(principal, match.dialect, each, prices, transcriptionEndpoint.shape)
  holdBudget(deps, principal, match.dialect, first, headers.claimed, nowMs)

  const route = deps.routes.resolve(principal.project, match.dialect, principal.identity.team_id)
  refuseSessionReferences(route, Buffer.from(JSON.stringify(asked.body)))
  const forwarded = headersToForward(deps, call, { span: undefined })
  // What was read is what is sent: a member that stood there twice stands there once.
  const body = Buffer.from(JSON.stringify(asked.body))
  const answer = await postToProvider(deps, route, upstreamPath(route, { ...match, query: '' }), forwarded, body)
  if (answer.status < 200 || answer.status > 299) {
    writeAnswer(call, answer)
    return
  }
  const made = readMade(answer.body)
  if (!made)
    throw new Refusal(
      'provider_unreachable',
      `${route.servedBy} answered without a client secret that this gateway can replace. Nothing was handed out.`,
    )
  // What was taken away while the provider was asked: nothing is handed out.
  proveAgain(deps, call)
  const { identity, expiresAtMs } = call.principal
  const opensUntilMs = Math.min(made.expiresAtS * 1_000, expiresAtMs)
  const grant: ClientSecretGrant = {
    identity,
    ...(identity.credential_kind === 'key' ? { keyHash: hash('sha256', headers.credential) } : {}),
    ...(Number.isFinite(expiresAtMs) ? { creatorUntilMs: expiresAtMs } : {}),
    opensUntilMs,
    ...(asked.model === undefined ? {} : { model: asked.model }),
    transcriptionModels: asked.transcriptionModels,
    providerSecret: made.value,
    upstream: upstreamOf(route),
  }
  const ours = { value: deps.clientSecrets.seal(grant), expiresAtS: Math.floor(opensUntilMs / 1_000) }
  writeAnswer(call, { ...answer, contentType: 'application/json', body: replaceSecret(made, ours) })
}

interface Asked {
  body: JsonObject
  model: string | undefined
  transcriptionModels: string[]
}

/** The session stands in the body's `session`, or in the older forms is the body. @throws Refusal 400 */
function readAsked(path: string, bytes: Buffer): Asked {
  const body = parseObject(bytes)
  if (!body) throw new Refusal('invalid_request', 'The request body is not a JSON object.')
  const session = path.endsWith('/client_secrets') ? (body.session ?? {}) : body
  if (!isObject(session)) throw new Refusal('invalid_request', 'The "session" is no JSON object.')
  const isTranscription = path.endsWith('/transcription_sessions') || session.type === 'transcription'
  const transcriptionModels = [...new Set(transcriptionModelsOf(session))]
  for (const model of transcriptionModels) checkName(model)
  if (isTranscription && session.model === undefined) return { body, model: undefined, transcriptionModels }
  return { body, model: checkName(session.model), transcriptionModels }
}

/** A list of models ends with `*` where it means more than one; a secret is for the one it names. */
function checkName(model: unknown): string {
  if (typeof model === 'string' && /^.{0,255}[^*]$/.test(model) && isPlainText(model)) return model
  throw new Refusal('model_missing', 'The session names no usable "model".')
}

interface Made {
  answer: JsonObject
  value: string
  expiresAtS: number
}

/** The provider's secret: at the top of its answer, or in its `client_secret`. Undefined where none is found for certain. */
function readMade(bytes: Buffer): Made | undefined {
  const answer = parseObject(bytes)
  if (!answer) return undefined
  const { value, expires_at: expiresAtS } = typeof answer.value === 'string' ? answer : asObject(answer.client_secret)
  if (typeof value !== 'string' || !providerSecret.test(value)) return undefined
  return Number.isSafeInteger(expiresAtS) ? { answer, value, expiresAtS: expiresAtS as number } : undefined
}

/** The answer, with ours wherever the provider's stood, and never a later end than the provider's. */
function replaceSecret({ answer, value }: Made, ours: { value: string; expiresAtS: number }): Buffer {
  const replace = (given: unknown): unknown => {
    if (typeof given === 'string') return given.replaceAll(value, ours.value)
    if (Array.isArray(given)) return given.map(replace)
    if (!isObject(given)) return given
    const members = Object.entries(given).map(([name, member]) => [
      name,
      name === 'client_secret' && isObject(member)
        ? { ...member, value: ours.value, expires_at: ours.expiresAtS }
        : replace(member),
    ])
    return Object.fromEntries(members)
  }
  const replaced = asObject(replace(answer))
  return Buffer.from(
    JSON.stringify(typeof answer.value === 'string' ? { ...replaced, expires_at: ours.expiresAtS } : replaced),
  )
}

function parseObject(bytes: Buffer): JsonObject | undefined {
  try {
    const parsed: unknown = JSON.parse(bytes.toString('utf8'))
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {}
}
