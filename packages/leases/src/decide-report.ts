import {
  askSeqOf,
  handedLeaseId,
  isHolder,
  type LeaseHeartbeat,
  type LeaseHello,
  type LeaseReport,
  type LeaseTotals,
} from '@sluice/contracts'
import type { HomeEvent, HomeState } from './home-state.ts'
import { type Lease, wholeLease, withTotals } from './lease.ts'
import { poolKey } from './pool.ts'

/** Events, and the leases that a message names and this home does not hold open. */
export interface DecidedReport {
  events: HomeEvent[]
  unknown: string[]
  fenced: boolean
}

/** Who was heard, for the fence and for silence. `fenced`: a later run of this gateway was heard of. */
export function hear(
  state: HomeState,
  { gateway_id: gatewayId, epoch }: { gateway_id: string; epoch: number },
  nowMs: number,
): HomeEvent[] | 'fenced' {
  // A holder is no gateway: nothing is granted to it, and nobody waits to hear of it.
  if (isHolder(gatewayId)) return []
  const known = state.gateways.get(gatewayId)
  if (known && known.epoch > epoch) return 'fenced'
  if (known && known.epoch === epoch && known.heardAtMs >= nowMs) return []
  return [{ type: 'gateway-heard', gateway: { gatewayId, epoch, heardAtMs: Math.max(nowMs, known?.heardAtMs ?? 0) } }]
}

/** Takes the totals of leases of a running gateway. Older ones than those known change nothing; closed leases neither. */
export function decideReport(state: HomeState, report: LeaseReport, nowMs: number): DecidedReport {
  const heard = hear(state, report, nowMs)
  const events = heard === 'fenced' ? [] : heard
  const unknown: string[] = []
  for (const totals of report.leases) {
    const lease = state.leases.get(totals.lease_id)
    if (!lease) {
      const restored = restoredLease(state, report.gateway_id, totals)
      // A fenced run's leases are named by the journal that ended it.
      if (restored && heard !== 'fenced')
        events.push(
          { type: 'lease-restored', lease: totals.done ? { ...restored, state: 'closed' } : restored },
          ...handedOver(state, totals),
        )
      else unknown.push(totals.lease_id)
      continue
    }
    if (lease.gatewayId !== report.gateway_id || lease.state === 'closed') {
      unknown.push(totals.lease_id)
      continue
    }
    if (totals.version <= lease.version && lease.state === 'open') continue
    // Heard again after a long silence, it says itself what it holds.
    const changed: Lease = {
      ...(totals.version > lease.version ? withTotals(lease, totals) : lease),
      state: lease.givenUp.has(wholeLease) ? 'silent' : 'open',
    }
    events.push(
      { type: 'lease-changed', lease: totals.done ? { ...changed, state: 'closed' } : changed },
      ...handedOver(state, totals),
    )
  }
  return { events, unknown, fenced: heard === 'fenced' }
}

/**
 * Ends a run of a gateway: leases that its journal names are closed at its totals, and with the last part all others of the run
 * are closed as they stand, since a lease stands in the journal before it is used.
 */
export function decideHello(state: HomeState, hello: LeaseHello, nowMs: number): DecidedReport {
  const { gateway_id: gatewayId, ended_epoch: endedEpoch } = hello
  const events: HomeEvent[] = []
  const known = state.gateways.get(gatewayId)
  if (!known || known.epoch <= endedEpoch || known.heardAtMs < nowMs)
    events.push({
      type: 'gateway-heard',
      gateway: {
        gatewayId,
        epoch: Math.max(endedEpoch + 1, known?.epoch ?? 0),
        heardAtMs: Math.max(nowMs, known?.heardAtMs ?? 0),
      },
    })
  const named = new Set<string>()
  const unknown: string[] = []
  for (const totals of hello.leases) {
    const lease = state.leases.get(totals.lease_id)
    named.add(totals.lease_id)
    if (!lease) {
      const restored = restoredLease(state, gatewayId, totals)
      if (restored)
        events.push({ type: 'lease-restored', lease: { ...restored, state: 'closed' } }, ...handedOver(state, totals))
      else unknown.push(totals.lease_id)
      continue
    }
    if (lease.gatewayId !== gatewayId || lease.epoch !== endedEpoch) continue
    const changed: Lease = { ...withTotals(lease, totals), state: 'closed' }
    if (!isSame(lease, changed)) events.push({ type: 'lease-changed', lease: changed })
    events.push(...handedOver(state, totals))
  }
  if (!hello.more)
    for (const lease of state.leases.values()) {
      if (lease.gatewayId !== gatewayId || lease.epoch !== endedEpoch || lease.state === 'closed') continue
      if (!named.has(lease.leaseId)) events.push({ type: 'lease-changed', lease: { ...lease, state: 'closed' } })
    }
  return { events, unknown, fenced: false }
}

/** Renews a run's leases. What a whole list of answered asks does not name, its gateway has not got and will not take. */
export function decideHeartbeat(state: HomeState, heartbeat: LeaseHeartbeat, nowMs: number): DecidedReport {
  const heard = hear(state, heartbeat, nowMs)
  if (heard === 'fenced') return { events: [], unknown: [], fenced: true }
  const events = heard
  const { whole } = heartbeat
  const named = new Set(whole?.lease_ids)
  const unknown = new Set(
    [...named, ...heartbeat.idle.map(([id]) => id)].filter(id => !isHeldBy(state, heartbeat.gateway_id, id)),
  )
  if (whole)
    for (const lease of state.leases.values()) {
      if (lease.gatewayId !== heartbeat.gateway_id || lease.epoch !== heartbeat.epoch) continue
      if (lease.askSeq < whole.from_seq || lease.askSeq >= whole.below_seq) continue
      // Heard again after a long silence: it has it still, whatever of it is not settled can come back.
      if (lease.state === 'silent' && named.has(lease.leaseId) && !lease.givenUp.has(wholeLease))
        events.push({ type: 'lease-changed', lease: { ...lease, state: 'open' } })
      if (lease.state === 'closed' || named.has(lease.leaseId)) continue
      events.push({ type: 'lease-changed', lease: { ...lease, state: 'closed' } })
    }
  return { events, unknown: [...unknown], fenced: false }
}

/** A gateway has not been heard of for long: what its leases have outstanding is unresolved from now on, until its journal says. */
export function decideSilence(state: HomeState, gatewayId: string): HomeEvent[] {
  return [...state.leases.values()]
    .filter(lease => lease.gatewayId === gatewayId && lease.state === 'open')
    .map(lease => ({ type: 'lease-changed', lease: { ...lease, state: 'silent' } }))
}

/**
 * What an attempt may have used is known now (an adjustment says what), or given up: by a person, or since too long unresolved.
 * {@link wholeLease}: what is left of a silent gateway's lease.
 */
export function decideResolved(state: HomeState, leaseId: string, attemptId: string): HomeEvent[] {
  const lease = state.leases.get(leaseId)
  if (!lease || lease.givenUp.has(attemptId)) return []
  const unresolved = new Map(lease.unresolved)
  unresolved.delete(attemptId)
  return [{ type: 'lease-changed', lease: { ...lease, unresolved, givenUp: new Set([...lease.givenUp, attemptId]) } }]
}

/**
 * What was handed over becomes a lease of its holder, in the transaction in which it leaves its gateway's: once, however often that
 * is told, and not at all where the holder has told of its own end before.
 */
function handedOver(state: HomeState, totals: LeaseTotals): HomeEvent[] {
  const events: HomeEvent[] = []
  for (const { holder, amount } of totals.handed ?? []) {
    const leaseId = handedLeaseId(holder, totals.lease_id)
    if (state.leases.has(leaseId)) continue
    const lease: Lease = {
      leaseId,
      askSeq: askSeqOf(leaseId),
      pool: poolKey(totals.budget_id, totals.copy, totals.window_start_ms),
      gatewayId: holder,
      epoch: 1,
      granted: amount,
      settled: 0,
      returned: 0,
      unresolved: new Map(),
      version: 0,
      state: 'open',
      givenUp: new Set(),
    }
    events.push({ type: 'lease-handed', lease })
  }
  return events
}

function isHeldBy(state: HomeState, gatewayId: string, leaseId: string): boolean {
  const lease = state.leases.get(leaseId)
  if (!lease) return state.held.get(leaseId) === gatewayId
  return lease.gatewayId === gatewayId && lease.state !== 'closed'
}

/** A lease that only its gateway knows of. Undefined: nor is its pool known. */
function restoredLease(state: HomeState, gatewayId: string, totals: LeaseTotals): Lease | undefined {
  const pool = poolKey(totals.budget_id, totals.copy, totals.window_start_ms)
  if (!state.pools.has(pool)) return undefined
  const blank: Lease = {
    leaseId: totals.lease_id,
    askSeq: askSeqOf(totals.lease_id),
    pool,
    gatewayId,
    epoch: totals.epoch,
    granted: totals.granted,
    settled: 0,
    returned: 0,
    unresolved: new Map(),
    version: 0,
    state: 'open',
    givenUp: new Set(),
  }
  return withTotals(blank, totals)
}

function isSame(a: Lease, b: Lease): boolean {
  return (
    a.settled === b.settled &&
    a.returned === b.returned &&
    a.state === b.state &&
    a.version === b.version &&
    a.unresolved.size === b.unresolved.size &&
    [...a.unresolved].every(([attempt, amount]) => b.unresolved.get(attempt) === amount)
  )
}
