import { Type } from '@sluice/contracts'
import { formatAmount } from '../amount.ts'
import type { MoreRequest } from '../more-request.ts'

const NullableString = Type.Union([Type.String(), Type.Null()])

/** A request as whoever made it sees it. */
export const OwnRequestAnswer = Type.Object({
  id: Type.String(),
  state: Type.Enum(['open', 'approved', 'declined']),
  budget_id: Type.String(),
  unit: Type.String(),
  amount: Type.String(),
  reason: Type.String(),
  created_at: Type.String(),
  decided_at: NullableString,
  word: NullableString,
  granted: NullableString,
  until: NullableString,
  /** Where to ask what became of it; with `wait` the answer comes when there is one. */
  poll: Type.String(),
})

/** The same as the owner of the budget sees it. */
export const RequestAnswer = Type.Object({
  ...OwnRequestAnswer.properties,
  project_id: Type.String(),
  budget_name: Type.String(),
  copy: NullableString,
  requested_by: Type.String(),
  requested_from: NullableString,
  member_id: NullableString,
  key_name: NullableString,
  participant: NullableString,
  room: NullableString,
  decided_by: NullableString,
  decided_from: NullableString,
})

/** @param publicOrigin of this installation; undefined: `poll` is a path alone */
export function toOwnAnswer(request: MoreRequest, publicOrigin: string | undefined) {
  const { requestId, projectId, unit, decided } = request
  const { granted } = decided ?? {}
  return {
    id: requestId,
    state: decided ? (granted ? ('approved' as const) : ('declined' as const)) : ('open' as const),
    budget_id: request.budgetId,
    unit,
    amount: formatAmount(unit, request.amount),
    reason: request.reason,
    created_at: toIso(request.createdAtMs),
    decided_at: decided ? toIso(decided.atMs) : null,
    word: decided?.word ?? null,
    granted: granted ? formatAmount(unit, granted.amount) : null,
    until: granted ? toIso(granted.untilMs) : null,
    poll: `${publicOrigin ?? ''}/accounts/projects/${projectId}/llm-proxy/requests/${requestId}`,
  }
}

export function toAnswer(request: MoreRequest, publicOrigin: string | undefined) {
  const { by, decided } = request
  return {
    ...toOwnAnswer(request, publicOrigin),
    project_id: request.projectId,
    budget_name: request.budgetName,
    copy: request.copy === '' ? null : request.copy,
    requested_by: `${by.kind} ${by.id}`,
    requested_from: by.from?.address ?? null,
    member_id: request.memberId ?? null,
    key_name: request.keyName ?? null,
    participant: request.participant ?? null,
    room: request.room ?? null,
    decided_by: decided ? `${decided.by.kind} ${decided.by.id}` : null,
    decided_from: decided?.by.from?.address ?? null,
  }
}

function toIso(ms: number): string {
  return new Date(ms).toISOString()
}
