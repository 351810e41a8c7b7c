import assert from 'node:assert/strict'
import { test } from 'node:test'
import { windowAt } from '@sluice/leases'
import { makeUsageEvent, type UsageOverrides } from '@sluice/test-env'
import { type CountedBudget, copyOf, exceptionsOf, sumByWindow } from './budget.ts'
import { decideCutoff, liftCutoff } from './cutoff.ts'
import { adjustFact, factOf } from './spend-fact.ts'

const projectId = '00000000-0000-4000-8000-000000000001'
const noon = Date.parse('2026-05-13T12:00:00Z')

function budgetOf(overrides: Partial<CountedBudget> = {}): CountedBudget {
  return {
    budget_id: 'bud_1',
    version: 1,
    name: 'Team A',
    account_id: 'acct_1',
    scope: { project: projectId },
    unit: 'usd',
    limit: 1000,
    window: 'day',
    time_zone: 'UTC',
    mode: 'soft',
    on_unknown: 'deny',
    created_at_ms: noon,
    thresholds: [],
    forecastAlert: false,
    projectId,
    countsFromMs: 0,
    ownLimit: 1000,
    ...overrides,
  }
}

function factWith(overrides: UsageOverrides = {}) {
  const { identity, ...rest } = overrides
  return factOf(makeUsageEvent({ admitted_at_ms: noon, ...rest, identity: { project_id: projectId, ...identity } }))
}

test('a budget of money for somebody in a team stands in the place of their seat, in windows of the same length', () => {
  const seats = budgetOf({ scope: { project: projectId, team: 'team_a' }, per: 'member', seatTeamId: 'team_a' })
  const own = (overrides: Partial<CountedBudget> = {}) =>
    budgetOf({ scope: { project: projectId, team: 'team_a', member: 'mem_1' }, ...overrides })
  assert.deepEqual(exceptionsOf(seats, [seats, own(), own()]), ['mem_1'])
  assert.deepEqual(exceptionsOf(seats, [own({ mode: 'hard', limit: 5 })]), ['mem_1'])
  for (const other of [
    own({ window: 'week' }),
    own({ mode: 'alert' }),
    own({ unit: 'tokens' }),
    own({ scope: { project: projectId, member: 'mem_1' } }),
    own({ scope: { project: projectId, team: 'team_b', member: 'mem_1' } }),
    own({ scope: { project: projectId, team: 'team_a', member: 'mem_1', model: 'gpt-5.4' } }),
  ])
    assert.deepEqual(exceptionsOf(seats, [seats, other]), [], JSON.stringify(other.scope))
})

test('a cutoff of an excepted copy is lifted, and none begins', () => {
  const sum = { budgetId: 'bud_1', copy: 'mem_1', window: windowAt('day', 'UTC', noon), amount: 2000n }
  const state = { ...sum, settled: 0n, unresolved: 0n, outstanding: 0n }
  const seats = budgetOf({ per: 'member' })
  const begun = decideCutoff(seats, state, undefined, noon)
  assert.equal(begun?.active, true)
  const excepting = { ...seats, except: ['mem_1'] }
  assert.equal(decideCutoff(excepting, state, begun, noon)?.active, false)
  assert.equal(decideCutoff(excepting, state, undefined, noon), undefined)
})

test('every dimension that a scope names must match', () => {
  const { dimensions } = factWith({ identity: { team_id: 'team_a', room: 'lab' } })
  const cases: [CountedBudget['scope'], string | undefined][] = [
    [{ project: projectId }, ''],
    [{ project: projectId, team: 'team_a', room: 'lab' }, ''],
    [{ project: projectId, team: 'team_a', room: 'other' }, undefined],
    [{ project: projectId, member: 'mem_1' }, undefined],
    [{ project: projectId, model: 'gpt-4o-mini', provider: 'openai' }, ''],
    [{ project: '00000000-0000-4000-8000-000000000002' }, undefined],
  ]
  for (const [scope, expected] of cases) assert.equal(copyOf({ scope }, dimensions), expected, JSON.stringify(scope))
})

test('per makes a copy a value, and none where the attempt has no value', () => {
  const budget = budgetOf({ per: 'member' })
  assert.equal(copyOf(budget, factWith({ identity: { member_id: 'mem_1' } }).dimensions), 'mem_1')
  assert.equal(copyOf(budget, factWith().dimensions), undefined)
})

test('of what callers choose an attempt counts in the copy of its value, unknown without one; a tag is what it says and nothing else', () => {
  const said = { app: 'codex', session_id: '', tags: { ticket: 'T-1' } }
  const cases: [CountedBudget['per'], string][] = [
    ['app', 'codex'],
    ['session', 'unknown'],
    ['agent', 'unknown'],
    ['model', 'gpt-4o-mini'],
    ['tag:ticket', 'T-1'],
    ['tag:constructor', 'unknown'],
    ['tag:__proto__', 'unknown'],
  ]
  const { dimensions } = factWith({ claimed: said })
  for (const [per, copy] of cases) assert.equal(copyOf(budgetOf({ ...(per && { per }) }), dimensions), copy, per)
  assert.equal(copyOf({ scope: { tag: 'constructor=x' } }, dimensions), undefined)
})

test('tokens count cache reads and writes, requests only attempts that reached a provider, seats no money', () => {
  const quantities = { in_text: 1, in_cache_read: 10, in_cache_write_1h: 100, out_text: 1000, out_reasoning: 500 }
  assert.deepEqual(factWith({ quantities, cost_nano_usd: 7 }).amounts, { nanoUsd: 7, tokens: 1111, requests: 1 })
  assert.deepEqual(factWith({ quantities, cost_nano_usd: 7, paid_by: 'seat' }).amounts, {
    nanoUsd: 0,
    tokens: 1111,
    requests: 1,
  })
  const unreached = { status: 'failed', http_status: 0, quantities: {}, cost_nano_usd: 0 } as const
  assert.equal(factWith(unreached).amounts.requests, 0)
  assert.equal(factWith({ ...unreached, http_status: 500 }).amounts.requests, 1)
  assert.equal(factWith({ ...unreached, status: 'killed' }).amounts.requests, 1)
})

test('an amount lands in the window of its admission, and not before the budget counts', () => {
  const late = factWith({ admitted_at_ms: noon - 86_400_000, finished_at_ms: noon, cost_nano_usd: 5 })
  const now = factWith({ cost_nano_usd: 3 })
  const starts = (budget: CountedBudget) =>
    sumByWindow([budget], [late, now, now], windowAt).map(sum => [
      new Date(sum.window.startMs).toISOString(),
      sum.amount,
    ])
  assert.deepEqual(starts(budgetOf()), [
    ['2026-05-12T00:00:00.000Z', 5n],
    ['2026-05-13T00:00:00.000Z', 6n],
  ])
  assert.deepEqual(starts(budgetOf({ countsFromMs: noon })), [['2026-05-13T00:00:00.000Z', 6n]])
})

test('an adjustment counts its difference once, whatever comes twice or late', () => {
  const fact = factWith({ cost_nano_usd: 100, quantities: { in_text: 10 } })
  const adjustment = {
    seq: 1,
    event_id: fact.eventId,
    version: 2,
    project_id: projectId,
    account_id: 'acct_1',
    admitted_at_ms: noon,
    adjusted_at_ms: noon,
    reason: 'reconciled',
    price_book_id: 'book',
    quantities: { in_text: 4 },
    line_items: [],
    cost_nano_usd: 40,
    difference_nano_usd: -60,
  }
  const adjusted = adjustFact(fact, adjustment)
  assert.deepEqual(adjusted?.difference, { nanoUsd: -60, tokens: -6, requests: 0 })
  assert.ok(adjusted)
  assert.equal(adjustFact(adjusted.fact, adjustment), undefined)
  assert.equal(adjustFact(adjusted.fact, { ...adjustment, version: 1 }), undefined)
  assert.equal(adjustFact(factWith({ paid_by: 'seat' }), adjustment)?.difference.nanoUsd, 0)
})

const unleased = { settled: 0n, unresolved: 0n, outstanding: 0n }

test('a cutoff begins at the limit, once, and ends when the limit is above what is spent', () => {
  const budget = budgetOf()
  const sum = (amount: bigint, kind: 'day' | 'total' = 'day', atMs = noon) => ({
    budgetId: 'bud_1',
    copy: '',
    window: windowAt(kind, 'UTC', atMs),
    ...unleased,
    amount,
  })
  assert.equal(decideCutoff(budget, sum(999n), undefined, noon), undefined)
  const cut = decideCutoff(budget, sum(1000n), undefined, noon)
  assert.ok(cut)
  assert.deepEqual([cut.active, cut.version, cut.spent, cut.until_ms], [true, 1, 1000, Date.parse('2026-05-14')])
  assert.equal(decideCutoff(budget, sum(1500n), cut, noon), undefined)
  const raised = decideCutoff(budgetOf({ limit: 2000 }), sum(1500n), cut, noon)
  assert.deepEqual([raised?.active, raised?.version], [false, 2])
  assert.deepEqual(decideCutoff(budget, sum(1500n), raised, noon)?.version, 3)
  assert.equal(decideCutoff(budgetOf({ mode: 'alert' }), sum(5000n), undefined, noon), undefined)
  assert.equal(decideCutoff(budgetOf({ mode: 'alert' }), sum(5000n), cut, noon)?.active, false)
  assert.equal(decideCutoff(budget, sum(5000n, 'total'), undefined, noon)?.until_ms, undefined)
  const leased = { ...sum(100n), settled: 900n, outstanding: 50n }
  assert.equal(decideCutoff(budgetOf({ mode: 'hard' }), leased, undefined, noon)?.spent, 1000)
  assert.equal(decideCutoff(budgetOf({ mode: 'hard' }), { ...leased, settled: 899n }, undefined, noon), undefined)
  assert.deepEqual([liftCutoff(cut, noon).active, liftCutoff(cut, noon).version], [false, 2])
})

test('a window that has ended is never cut, and an old one never replaces the cutoff of a newer', () => {
  const budget = budgetOf()
  const yesterday = {
    budgetId: 'bud_1',
    copy: '',
    window: windowAt('day', 'UTC', noon - 86_400_000),
    ...unleased,
    amount: 5000n,
  }
  assert.equal(decideCutoff(budget, yesterday, undefined, noon), undefined)
  const today = { ...yesterday, window: windowAt('day', 'UTC', noon) }
  const tomorrow = { ...yesterday, window: windowAt('day', 'UTC', noon + 86_400_000) }
  const ahead = decideCutoff(budget, tomorrow, undefined, noon)
  assert.equal(decideCutoff(budget, today, ahead, noon), undefined)
})
