import type { Budget } from '@sluice/contracts'
import {
  heldMoneyOf,
  type MetBudgetsRequest,
  totalInputTokens,
  totalOutputTokens,
  type UsageAdjustedData,
  type UsageRecordedData,
} from '@sluice/contracts'
import { usedAmount } from '@sluice/leases'

/** What one attempt counts for in each unit. */
export interface Amounts {
  nanoUsd: number
  tokens: number
  requests: number
}

/**
 * The dimensions of an attempt, under the names that a budget's scope uses. An absent one matches no scope; what was not claimed is
 * `unknown`.
 */
export type Dimensions = Partial<Record<Exclude<keyof Budget['scope'], 'tag'>, string>> & {
  tags?: Readonly<Record<string, string>>
}

/** What budgets keep of one attempt, for good: enough to match it against any budget made later. */
export interface SpendFact {
  eventId: string
  projectId: string
  admittedAtMs: number
  dimensions: Dimensions
  /** Paid by a flat seat: its cost is notional and counts in no `usd` budget. */
  seat: boolean
  /** 0: as recorded; grows with each adjustment. */
  version: number
  amounts: Amounts
  held: HeldFact
}

/** What of a fact is counted by leases. */
export interface HeldFact {
  /** Budgets whose leases have settled it as it was recorded: of it they count here what adjustments change. */
  budgets: string[]
  /** Leases of which it may have used more than was recorded. */
  unresolvedLeases: string[]
  recorded: { nanoUsd: number; tokens: number }
}

/** The dimensions of a call. */
export function dimensionsOf({
  identity,
  claimed,
  model,
  provider,
}: Pick<MetBudgetsRequest, 'identity' | 'claimed' | 'model' | 'provider'>): Dimensions {
  return {
    account: identity.account_id,
    project: identity.project_id,
    team: identity.team_id,
    member: identity.member_id,
    service_account: identity.service_account_id,
    key: identity.key_id,
    room: identity.room,
    participant: identity.participant,
    model,
    provider,
    app: claimed.app,
    session: claimed.session_id,
    agent: claimed.agent_id,
    tags: claimed.tags,
  } as Dimensions
}

export function factOf(event: UsageRecordedData): SpendFact {
  const { identity } = event
  const dimensions = dimensionsOf({ ...event, model: event.requested_model })
  const seat = event.paid_by === 'seat'
  const amounts: Amounts = {
    nanoUsd: usedAmount('usd', event),
    tokens: usedAmount('tokens', event),
    requests: usedAmount('requests', event),
  }
  const held = heldMoneyOf(event)
  return {
    eventId: event.event_id,
    projectId: identity.project_id,
    admittedAtMs: event.admitted_at_ms,
    dimensions,
    seat,
    version: 0,
    amounts,
    held: {
      budgets: [...new Set(held.map(({ budget_id }) => budget_id))],
      unresolvedLeases: (event.unresolved ?? []).map(([leaseId]) => leaseId),
      recorded: held.length > 0 ? amounts : { nanoUsd: 0, tokens: 0 },
    },
  }
}

/**
 * A fact after an adjustment, and what that adds to every sum it is part of. Undefined: the fact already is at this version
 * or a later one. The adjustment carries totals, so applying it twice or out of order ends the same.
 */
export function adjustFact(
  fact: SpendFact,
  adjustment: UsageAdjustedData,
): { fact: SpendFact; difference: Amounts } | undefined {
  if (adjustment.version <= fact.version) return undefined
  const amounts: Amounts = {
    nanoUsd: fact.seat ? 0 : adjustment.cost_nano_usd,
    tokens: totalInputTokens(adjustment.quantities) + totalOutputTokens(adjustment.quantities),
    requests: fact.amounts.requests,
  }
  return {
    fact: { ...fact, version: adjustment.version, amounts },
    difference: {
      nanoUsd: amounts.nanoUsd - fact.amounts.nanoUsd,
      tokens: amounts.tokens - fact.amounts.tokens,
      requests: 0,
    },
  }
}
