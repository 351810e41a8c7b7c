import { type LeaseAnswer, type LeaseAsk, type LeaseRefusalReason, leaseIdOf } from '@sluice/contracts'
import { hear } from './decide-report.ts'
import { evolve, type HomeEvent, type HomeState } from './home-state.ts'
import { leftOf, type Pool, poolKey, spentOf } from './pool.ts'

/** What an ask meets beside the state. */
export interface AskCircumstances {
  nowMs: number
  term: number
  /** Gateways that were heard of lately, the asking one included: what is left is meant for all of them. */
  gateways: number
  /** Idle money was called back for this ask already, and what came is in the state. */
  recalled: boolean
  /** Gateways have yet to say which leases they have: what is left is not known. */
  isRecovering?: boolean
  /** Its window is not over and has begun. @param late it may be over, for as long as a call of it may run */
  isOpen: (pool: Pool, late: boolean) => boolean
  /** The value of this copy has none of its own: it shares that of all others. Absent: none does. */
  isOther?: (pool: Pool) => boolean
}

export interface DecidedAsk {
  events: HomeEvent[]
  answer: LeaseAnswer
}

type Item = LeaseAsk['items'][number]

/** How long a gateway waits before it asks again for money that is held. */
const heldRetryMs = 200
/** Gateways say what they have within seconds. */
const recoveringRetryMs = 1_000

/**
 * Grants all items of an ask or none; the same ask again gets the same answer. Items come in the order of their budgets' ids:
 * the first that has too little says no. Grants never lift what is settled, unresolved and outstanding above the limit.
 *
 * `recall`: less than wanted is left, but other gateways hold some: call their idle money back, then decide again.
 */
export function decideAsk(state: HomeState, ask: LeaseAsk, about: AskCircumstances): DecidedAsk | 'recall' {
  const heard = hear(state, ask, about.nowMs)
  if (heard === 'fenced') return refusal(ask, about, firstItem(ask), undefined, 'fenced')
  const leaseIds = ask.items.map((_, at) => leaseIdOf(ask.gateway_id, ask.epoch, ask.seq, at))
  if (leaseIds.some(id => state.leases.has(id))) return repeatAnswer(state, ask, about, leaseIds, heard)
  if (about.isRecovering) return refusal(ask, about, firstItem(ask), undefined, 'recovering', heard)

  let wantsMore = false
  const pools: Pool[] = []
  for (const item of ask.items) {
    const pool = state.pools.get(poolKey(item.budget_id, item.copy, item.window_start_ms))
    if (!pool) return refusal(ask, about, item, undefined, 'unknown_budget', heard)
    if (about.isOther?.(pool)) {
      if (item.need > 0) return refusal(ask, about, item, undefined, 'other_copy', heard)
      // Ahead of calls it gets nothing, and others of the ask get theirs.
      pools.push({ ...pool, limit: 0 })
      continue
    }
    if (!about.isOpen(pool, item.late ?? false)) return refusal(ask, about, item, pool, 'not_open', heard)
    const left = leftOf(pool)
    if (left < item.want && pool.outstanding > 0) wantsMore = true
    // Money ahead of calls is no reason to refuse what others of them find.
    if (item.need > 0 && left < item.need && (about.recalled || pool.outstanding === 0)) {
      const isSpent = pool.limit - spentOf(pool) - pool.unresolved < item.need + (item.have ?? 0)
      return refusal(ask, about, item, pool, isSpent ? 'spent' : 'held', heard)
    }
    pools.push(pool)
  }
  if (wantsMore && !about.recalled) return 'recall'

  const events: HomeEvent[] = [...heard]
  const grants: LeaseAnswer['grants'] = []
  for (const [at, item] of ask.items.entries()) {
    const pool = pools[at]
    const leaseId = leaseIds[at]
    if (!pool || leaseId === undefined) throw new Error('an item without its pool')
    const left = leftOf(pool)
    const granted = grantOf(item, left, about.gateways)
    grants.push({ lease_id: leaseId, amount: granted, left: left - granted, held: pool.outstanding + granted })
    if (granted === 0) continue
    events.push({
      type: 'lease-granted',
      lease: {
        leaseId,
        askSeq: ask.seq,
        pool: pool.key,
        gatewayId: ask.gateway_id,
        epoch: ask.epoch,
        granted,
        settled: 0,
        returned: 0,
        unresolved: new Map(),
        version: 0,
        state: 'open',
        givenUp: new Set(),
      },
    })
  }
  return { events, answer: { seq: ask.seq, term: about.term, grants } }
}

/** All of what is wanted, and a share of the rest to run ahead with; less where less is left. */
function grantOf(item: Item, left: number, gateways: number): number {
  if (left <= 0) return 0
  const share = Math.floor(left / (4 * Math.max(1, gateways)))
  return Math.min(left, item.want + Math.min(item.ahead, share))
}

function repeatAnswer(
  state: HomeState,
  ask: LeaseAsk,
  about: AskCircumstances,
  leaseIds: readonly string[],
  heard: HomeEvent[],
): DecidedAsk {
  const grants: LeaseAnswer['grants'] = []
  for (const [at, leaseId] of leaseIds.entries()) {
    const lease = state.leases.get(leaseId)
    // Closed, it must not be used again, whoever asks.
    if (lease && lease.state !== 'open')
      return refusal(ask, about, ask.items[at] ?? firstItem(ask), undefined, 'fenced', heard)
    const pool = lease && state.pools.get(lease.pool)
    const [left, held] = pool ? [leftOf(pool), pool.outstanding] : [0, 0]
    grants.push({ lease_id: leaseId, amount: lease?.granted ?? 0, left, held })
  }
  return { events: heard, answer: { seq: ask.seq, term: about.term, grants } }
}

function refusal(
  ask: LeaseAsk,
  { term }: AskCircumstances,
  item: Item,
  pool: Pool | undefined,
  reason: LeaseRefusalReason,
  events: HomeEvent[] = [],
): DecidedAsk {
  return {
    events,
    answer: {
      seq: ask.seq,
      term,
      grants: [],
      refusal: {
        reason,
        budget_id: item.budget_id,
        copy: item.copy,
        window_start_ms: item.window_start_ms,
        limit: pool?.limit ?? 0,
        spent: pool ? spentOf(pool) : 0,
        held: pool ? pool.outstanding + pool.unresolved : 0,
        need: item.need,
        retry_after_ms: reason === 'held' ? heldRetryMs : reason === 'recovering' ? recoveringRetryMs : 0,
      },
    },
  }
}

function firstItem(ask: LeaseAsk): Item {
  const [item] = ask.items
  if (!item) throw new Error(`ask ${ask.seq} of ${ask.gateway_id} has no items`)
  return item
}

/** Decides and puts into effect. */
export function applyAsk(state: HomeState, ask: LeaseAsk, about: AskCircumstances): LeaseAnswer | 'recall' {
  const decided = decideAsk(state, ask, about)
  if (decided === 'recall') return decided
  for (const event of decided.events) evolve(state, event)
  return decided.answer
}
