import { Type } from '@sluice/contracts'
import { errorOf, principalOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import type { AppDeps } from '../app.ts'
import { callReader, mergeCall, restrictCall } from '../call.ts'
import { toAttemptResponse, toRefusalResponse } from '../call-response.ts'
import { errors } from '../errors.ts'

const Params = Type.Object({ call_id: Type.String({ format: 'uuid' }) })
const Rows = Type.Array(Type.Unsafe<object>({ type: 'object', additionalProperties: true }))
const Call = Type.Object({
  call_id: Type.String(),
  project_id: Type.String(),
  outcome: Type.String(),
  cost_nano_usd: Type.String(),
  attempts: Rows,
  refusals: Rows,
})
const config = { access: 'signed-in' } as const
const schema = { summary: 'Get a call with every attempt', params: Params, response: responses({ 200: Call }) }

/**
 * `GET /api/calls/{call_id}`: a call with every attempt, or its refusal, from memory until it is inserted. A call of a
 * project whose usage the caller may not read does not exist for them.
 */
export function getCall(app: FastifyInstance, deps: AppDeps): void {
  app.get<{ Params: Static<typeof Params> }>('/api/calls/:call_id', { config, schema }, async request => {
    const principal = principalOf(request)
    const reader = callReader(principal, deps.credentials.projectsOfAccount)
    const projectIds = [...new Set([...reader.all, ...reader.own])]
    if (projectIds.length === 0) throw errorOf(errors.callNotFound)
    const callId = request.params.call_id.toLowerCase()
    const recent = deps.recent.find(callId)
    const stored = Promise.all([
      deps.rows.findCallAttempts(callId, projectIds),
      deps.refused.findCallRefusals(callId, projectIds),
    ]).then(([attempts, refusals]) => ({ attempts, refusals }))
    // What is in memory can be shown without the store.
    const known = await (recent ? stored.catch(() => ({ attempts: [], refusals: [] })) : stored)
    const call = restrictCall(mergeCall(recent, known), reader)
    const first = call.attempts[0] ?? call.refusals[0]
    if (!first) throw errorOf(errors.callNotFound)
    const cost = call.attempts.reduce((sum, row) => sum + BigInt(row.cost_nano_usd), 0n)
    return {
      call_id: callId,
      project_id: first.project_id,
      outcome: call.attempts.at(-1)?.status ?? 'refused',
      cost_nano_usd: cost.toString(),
      attempts: call.attempts.map(toAttemptResponse),
      refusals: call.refusals.map(toRefusalResponse),
    }
  })
}
