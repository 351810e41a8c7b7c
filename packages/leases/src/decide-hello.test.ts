import assert from 'node:assert/strict'
import test from 'node:test'
import { handedLeaseId } from '@sluice/contracts'
import {
  decideAsk,
  decideHeartbeat,
  decideHello,
  decideReport,
  decideSilence,
  emptyHome,
  evolve,
  type HomeState,
  JournaledLeases,
  leftOf,
  poolKey,
} from './index.ts'

const now = 1_000_000
const key = poolKey('bud_1', '', 0)
const named = { budget_id: 'bud_1', copy: '', window_start_ms: 0 }

function homeWith(limit: number): HomeState {
  const state = emptyHome()
  state.pools.set(key, {
    key,
    budgetId: 'bud_1',
    copy: '',
    windowStartMs: 0,
    limit,
    unleased: 0,
    settled: 0,
    unresolved: 0,
    outstanding: 0,
  })
  return state
}

function ask(state: HomeState, epoch: number, seq: number, want: number) {
  const decided = decideAsk(
    state,
    { gateway_id: 'gw_a', epoch, at_ms: now, seq, items: [{ ...named, need: want, want, ahead: 0 }] },
    { nowMs: now, term: 1, gateways: 1, recalled: true, isOpen: () => true },
  )
  assert.notEqual(decided, 'recall')
  if (decided === 'recall') throw new Error('recall')
  for (const event of decided.events) evolve(state, event)
  return decided.answer
}

function hello(state: HomeState, endedEpoch: number, used: readonly (readonly [string, number])[]): void {
  const leases = used.map(([lease_id, settled_total]) => ({
    lease_id,
    ...named,
    epoch: endedEpoch,
    granted: 0,
    settled_total,
    returned_total: 0,
    unresolved: [],
    version: 1,
    done: true,
  }))
  const { events } = decideHello(
    state,
    { gateway_id: 'gw_a', ended_epoch: endedEpoch, at_ms: now, leases, more: false },
    now,
  )
  for (const event of events) evolve(state, event)
}

const left = (state: HomeState): number => {
  const pool = state.pools.get(key)
  return pool ? leftOf(pool) : Number.NaN
}

test('the hello of a later run frees nothing of an earlier one, whose own hello is still under way', () => {
  const state = homeWith(100)
  const first = ask(state, 1, 1, 60)
  ask(state, 2, 1, 40)
  hello(state, 2, [])
  assert.equal(left(state), 40, 'the second run used nothing')
  assert.equal(ask(state, 3, 1, 41).refusal?.reason, 'held', 'the first may have used all of its 60')
  hello(state, 1, [[first.grants[0]?.lease_id ?? '', 55]])
  assert.equal(left(state), 45)
  assert.equal(ask(state, 3, 2, 45).refusal, undefined)
})

test('a hello that comes again changes nothing, and what a journal does not name is free', () => {
  const state = homeWith(100)
  const { grants } = ask(state, 1, 1, 30)
  ask(state, 1, 2, 30)
  for (let times = 0; times < 3; times++) hello(state, 1, [[grants[0]?.lease_id ?? '', 12]])
  assert.equal(left(state), 88)
})

test('after a hello its run is asked nothing more: neither grants nor answers that were given before', () => {
  const state = homeWith(100)
  ask(state, 1, 1, 30)
  hello(state, 1, [])
  assert.equal(ask(state, 1, 1, 30).refusal?.reason, 'fenced')
  assert.equal(ask(state, 1, 2, 30).refusal?.reason, 'fenced')
  assert.equal(ask(state, 2, 1, 100).refusal, undefined)
})

test('a lease that only the journal knows is counted: the home has lost it', () => {
  const state = homeWith(100)
  hello(state, 4, [['gw_a-4-9-0', 70]])
  assert.equal(left(state), 30)
  hello(state, 4, [['gw_a-4-9-0', 70]])
  assert.equal(left(state), 30)
})

test('what is unresolved stays so when a hello does not name it any more', () => {
  const state = homeWith(100)
  const { grants } = ask(state, 1, 1, 30)
  const lease_id = grants[0]?.lease_id ?? ''
  const totals = {
    lease_id,
    ...named,
    epoch: 1,
    granted: 30,
    settled_total: 12,
    returned_total: 0,
    unresolved: [{ attempt_id: 'a', amount: 18 }],
    version: 3,
    done: true,
  }
  const report = { gateway_id: 'gw_a', epoch: 1, at_ms: now, leases: [totals] }
  for (const event of decideReport(state, report, now).events) evolve(state, event)
  hello(state, 1, [[lease_id, 10]])
  assert.equal(left(state), 70)
})

test('a gateway that is heard again after a long silence has what it names outstanding again', () => {
  const state = homeWith(100)
  const { grants } = ask(state, 1, 1, 30)
  const leaseId = grants[0]?.lease_id ?? ''
  for (const event of decideSilence(state, 'gw_a')) evolve(state, event)
  assert.equal(state.pools.get(key)?.unresolved, 30)
  const whole = { from_seq: 1, below_seq: 2, lease_ids: [leaseId] }
  const beat = { gateway_id: 'gw_a', epoch: 1, at_ms: now, idle: [], whole }
  for (const event of decideHeartbeat(state, beat, now).events) evolve(state, event)
  const pool = state.pools.get(key)
  assert.deepEqual([pool?.unresolved, pool?.outstanding], [0, 30])
})

function report(state: HomeState, gatewayId: string, totals: Record<string, unknown>): void {
  const lease = {
    ...named,
    epoch: 1,
    granted: 0,
    settled_total: 0,
    returned_total: 0,
    unresolved: [],
    version: 1,
    done: false,
    lease_id: '',
    ...totals,
  }
  const { events } = decideReport(state, { gateway_id: gatewayId, epoch: 1, at_ms: now, leases: [lease] }, now)
  for (const event of events) evolve(state, event)
}

test('what is handed over stays held, outlives its gateway and its silence, and is settled once by whoever tells of it', () => {
  const state = homeWith(100)
  const lease_id = ask(state, 1, 1, 60).grants[0]?.lease_id ?? ''
  const handed = [{ holder: 'batch_b1', amount: 50 }]
  const over = { lease_id, granted: 60, settled_total: 10, returned_total: 50, done: true, handed }
  report(state, 'gw_a', over)
  report(state, 'gw_a', { ...over, version: 2 })
  assert.equal(left(state), 40, 'ten are used and fifty held')
  for (const event of decideSilence(state, 'gw_a')) evolve(state, event)
  hello(state, 1, [[lease_id, 10]])
  assert.equal(left(state), 40)
  assert.equal(ask(state, 2, 1, 41).refusal?.reason, 'held')
  assert.ok(!state.gateways.has('batch_b1'), 'nobody waits to hear of a holder')

  const ended = { lease_id: handedLeaseId('batch_b1', lease_id), granted: 50, settled_total: 20, done: true }
  for (let pollers = 0; pollers < 2; pollers++)
    report(state, 'batch_b1', { ...ended, returned_total: 30, version: Number.MAX_SAFE_INTEGER })
  assert.equal(left(state), 70)
  report(state, 'gw_a', { ...over, version: 3 })
  assert.equal(left(state), 70, 'told again, it is not handed over again')
})

test('a holder that tells of its end before it is known is not handed anything any more', () => {
  const state = homeWith(100)
  const lease_id = ask(state, 1, 1, 60).grants[0]?.lease_id ?? ''
  const ended = { lease_id: handedLeaseId('batch_b1', lease_id), granted: 60, settled_total: 20, returned_total: 40 }
  report(state, 'batch_b1', { ...ended, done: true })
  const handed = [{ holder: 'batch_b1', amount: 60 }]
  report(state, 'gw_a', { lease_id, granted: 60, returned_total: 60, done: true, handed })
  assert.equal(left(state), 80)
})

test('the journal of a killed run hands over what it was to', () => {
  const state = homeWith(100)
  const lease_id = ask(state, 1, 1, 60).grants[0]?.lease_id ?? ''
  const journaled = new JournaledLeases(1)
  const holds = [{ ...named, unit: 'usd' as const, exact: true as const, parts: [[lease_id, 50] as [string, number]] }]
  journaled.hold(holds)
  journaled.settleKilled('a1', holds, [0], 'batch_a1')
  const [told] = journaled.totals()
  assert.deepEqual([told?.handed, told?.unresolved], [[{ holder: 'batch_a1', amount: 50 }], []])
  const message = { gateway_id: 'gw_a', ended_epoch: 1, at_ms: now, leases: journaled.totals(), more: false }
  for (let times = 0; times < 2; times++)
    for (const event of decideHello(state, message, now).events) evolve(state, event)
  assert.equal(left(state), 50)
})
