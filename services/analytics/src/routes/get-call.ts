import { type MetBudgets, Type } from '@sluice/contracts'
import { errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { type Call, callReader, mergeCall, restrictCall } from '../call.ts'
import { explainLimits, metBudgetsRequest } from '../call-limits.ts'
import { toAttemptResponse, toRefusalResponse } from '../call-response.ts'
import { errors } from '../errors.ts'

const Params = Type.Object({ call_id: Type.String({ format: 'uuid' }) })
const Rows = Type.Array(Type.Unsafe<object>({ type: 'object', additionalProperties: true }))
const NullableString = Type.Union([Type.String(), Type.Null()])

const Limits = Type.Object({
  /** False: the budget service does not answer now, so only what the call itself tells is here. */
  complete: Type.Boolean(),
  budgets: Type.Array(
    Type.Object({
      kind: Type.Enum(['budget', 'rate limit']),
      budget_id: Type.String(),
      name: Type.String(),
      copy: NullableString,
      scope_in_words: Type.String(),
      mode: Type.String(),
      hold: NullableString,
      unit: Type.String(),
      window: Type.String(),
      window_started_at: Type.String(),
      resets_at: NullableString,
      limit: Type.String(),
      spent_before: NullableString,
      left_before: NullableString,
      held: NullableString,
      counted: NullableString,
      verdict: Type.Enum(['passed', 'clamped', 'cut', 'refused']),
    }),
  ),
  stops: Type.Array(
    Type.Object({
      stop_id: Type.String(),
      scope_in_words: Type.String(),
      reason: Type.String(),
      stopped_at: Type.String(),
      verdict: Type.Enum(['passed', 'cut', 'refused']),
    }),
  ),
  said_no: Type.Union([
    Type.Object({
      reason: Type.String(),
      budget_id: NullableString,
      stop_id: NullableString,
      message: NullableString,
    }),
    Type.Null(),
  ]),
})

const CallAnswer = Type.Object({
  call_id: Type.String(),
  project_id: Type.String(),
  outcome: Type.String(),
  cost_nano_usd: Type.String(),
  limits: Limits,
  attempts: Rows,
  refusals: Rows,
})
const config = { access: 'signed-in' } as const
const schemaOf = (summary: string) => ({ summary, params: Params, response: responses({ 200: CallAnswer }) })

/**
 * `GET /api/calls/{call_id}`, and the same below its project: a call with every attempt or its refusal, and the limits it met, from
 * memory until it is inserted. A call of a project whose usage the caller may not read does not exist for them.
 */
export function getCall(app: FastifyInstance, deps: AppDeps): void {
  const answer = async (request: FastifyRequest, callId: string, projectId?: string) => {
    const call = await findCall(deps, request, callId, projectId)
    const first = call.attempts[0] ?? call.refusals[0]
    if (!first) throw errorOf(errors.callNotFound)
    const cost = call.attempts.reduce((sum, row) => sum + BigInt(row.cost_nano_usd), 0n)
    return {
      call_id: callId,
      project_id: first.project_id,
      outcome: call.attempts.at(-1)?.status ?? 'refused',
      cost_nano_usd: cost.toString(),
      limits: explainLimits(call, await askMet(deps, call)),
      attempts: call.attempts.map(toAttemptResponse),
      refusals: call.refusals.map(toRefusalResponse),
    }
  }
  app.get<{ Params: Static<typeof Params> }>(
    '/api/calls/:call_id',
    { config, schema: schemaOf('Get a call with every attempt and the limits it met') },
    request => answer(request, request.params.call_id.toLowerCase()),
  )
  app.get<{ Params: Static<typeof Params> & { pid: string } }>(
    '/accounts/projects/:pid/calls/:call_id',
    {
      config,
      schema: { ...schemaOf('Get a call of a project with every attempt and the limits it met'), params: InProject },
    },
    request => answer(request, request.params.call_id.toLowerCase(), request.params.pid),
  )
}

const InProject = Type.Object({ pid: Type.String({ format: 'uuid' }), ...Params.properties })

/** The parts of a call that the caller may read. */
async function findCall(
  deps: AppDeps,
  request: FastifyRequest,
  callId: string,
  projectId: string | undefined,
): Promise<Call> {
  const reader = callReader(principalOf(request), deps.credentials.projectsOfAccount)
  const isAskedFor = (each: string) => projectId === undefined || each === projectId
  const projectIds = [...new Set([...reader.all, ...reader.own])].filter(isAskedFor)
  if (projectIds.length === 0) throw errorOf(errors.callNotFound)
  const recent = deps.recent.find(callId)
  const stored = Promise.all([
    deps.rows.findCallAttempts(callId, projectIds),
    deps.refused.findCallRefusals(callId, projectIds),
  ]).then(([attempts, refusals]) => ({ attempts, refusals }))
  // What is in memory can be shown without the store.
  const known = await (recent ? stored.catch(() => ({ attempts: [], refusals: [] })) : stored)
  const { all, own, memberId } = reader
  return restrictCall(mergeCall(recent, known), { all: all.filter(isAskedFor), own: own.filter(isAskedFor), memberId })
}

/** Undefined where nobody says: the rest of the answer is worth having. */
async function askMet({ askMetBudgets, logger }: AppDeps, call: Call): Promise<MetBudgets | undefined> {
  const request = metBudgetsRequest(call)
  if (!request) return undefined
  try {
    return await askMetBudgets(request)
  } catch (err) {
    logger.warn({ err }, 'budgets of a call not known')
    return undefined
  }
}
