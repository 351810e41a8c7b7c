import type { CallIdentity, CallRefusedData, ClaimedDimensions, Dialect } from '@sluice/contracts'
import type { Refusal, RefusalReason } from './refusal.ts'

/** What is known of who was refused. */
export interface RefusedCaller {
  identity: CallIdentity | undefined
  claimed: ClaimedDimensions
  dialect: Dialect
  endpoint: string
  requestedModel: string | undefined
}

/** The event of a refused call or turn. */
export function refusedCall(
  gatewayId: string,
  callId: string,
  refusal: Refusal,
  httpStatus: number,
  caller: RefusedCaller,
): CallRefusedData {
  const { budget } = refusal
  return {
    call_id: callId,
    gateway_id: gatewayId,
    refused_at_ms: Date.now(),
    ...(caller.identity ? { identity: caller.identity } : {}),
    claimed: caller.claimed,
    dialect: caller.dialect,
    endpoint: caller.endpoint,
    ...(caller.requestedModel === undefined ? {} : { requested_model: caller.requestedModel }),
    reason: refusal.reason,
    http_status: httpStatus,
    ...(budget
      ? {
          budget: {
            budget_id: budget.budget_id,
            name: budget.name,
            copy: budget.copy,
            unit: budget.unit,
            limit: budget.limit,
            spent: budget.spent,
            ...(budget.held === undefined ? {} : { held: budget.held }),
            window: budget.window,
            ...(budget.need === undefined ? {} : { need: budget.need }),
            ...(budget.resets_at_ms === undefined ? {} : { resets_at_ms: budget.resets_at_ms }),
          },
        }
      : {}),
    ...(refusal.stopId === undefined ? {} : { stop_id: refusal.stopId }),
    ...(ownWords.has(refusal.reason) ? { message: refusal.message.slice(0, 500) } : {}),
    count: 1,
  }
}

/** The words of a limit are ours. Those of other refusals may quote a path or a member of what was sent: the reason is enough. */
const ownWords: ReadonlySet<RefusalReason> = new Set([
  'balance_exhausted',
  'budget_held',
  'budget_spent',
  'budget_unavailable',
  'rate_limited',
  'stopped_by_admin',
])
