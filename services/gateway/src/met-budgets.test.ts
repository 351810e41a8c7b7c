import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, BudgetWindow, CallIdentity, ClaimedDimensions, Cutoff } from '@sluice/contracts'
import { BudgetIndex } from './budget-index.ts'
import { BudgetState, MetBudgets, MetByCaller } from './met-budgets.ts'

const nowMs = 1_000_000

function budgetOf(id: string, more: Partial<Budget> = {}): Budget {
  const budget = { budget_id: id, name: id, scope: {}, unit: 'usd', limit: 100, window: 'day', time_zone: 'UTC' }
  return { ...budget, mode: 'soft', ...more } as Budget
}

function windowOf(spent: number, endMs: number | undefined = nowMs + 60_000): BudgetWindow {
  return { budget_id: 'a', copy: '', spent, held: 0, limit: 100, window_end_ms: endMs } as unknown as BudgetWindow
}

const cutoff = { budget_id: 'a', copy: '', active: true, version: 1, until_ms: nowMs + 5_000 } as unknown as Cutoff

function met(budgets: Budget[]) {
  const states = budgets.map(() => new BudgetState())
  const all = new MetBudgets(
    budgets.map(budget => ({ budget, copy: '' })),
    states,
  )
  const [first = new BudgetState()] = states
  return { first, holdAt: (atMs: number) => all.hold(atMs, ({ budget_id }) => new Error(`cut off by ${budget_id}`)) }
}

test('what a call finds is found again only once something of it has changed', () => {
  const { first, holdAt } = met([budgetOf('a'), budgetOf('b')])
  const before = holdAt(nowMs)
  assert.equal(holdAt(nowMs + 1), before)
  first.show(windowOf(90))
  const after = holdAt(nowMs + 2)
  assert.deepEqual([before.urgent, after.urgent, after.tightest?.spent], [false, true, 90])
  assert.equal(holdAt(nowMs + 3), after)
})

test('a window that has ended counts for nobody, though nothing was heard of the next', () => {
  const { first, holdAt } = met([budgetOf('a')])
  first.show(windowOf(90))
  assert.equal(holdAt(nowMs).tightest?.spent, 90)
  assert.equal(holdAt(nowMs + 59_999).tightest?.spent, 90)
  assert.equal(holdAt(nowMs + 60_000).tightest?.spent, 0)
  assert.equal(holdAt(nowMs).tightest?.spent, 90, 'also where the clock was set back')
})

test('the first call of a window is told when it ends, and the first of the next one when that does', () => {
  const hourMs = 3_600_000
  const { holdAt } = met([budgetOf('a', { window: 'hour' })])
  assert.equal(holdAt(nowMs).tightest?.resetsAtMs, hourMs)
  assert.equal(holdAt(hourMs - 1).windows[0]?.window_end_ms, hourMs)
  assert.equal(holdAt(hourMs).tightest?.resetsAtMs, 2 * hourMs)
  const inKolkata = met([budgetOf('b', { time_zone: 'Asia/Kolkata' })])
  assert.equal(inKolkata.holdAt(nowMs).tightest?.resetsAtMs, 18.5 * hourMs, 'by its own calendar')
  assert.equal(met([budgetOf('c', { window: 'total' })]).holdAt(nowMs).tightest?.resetsAtMs, undefined)
})

test('a cutoff refuses the next call, each one until it ends or is lifted', () => {
  const { first, holdAt } = met([budgetOf('a')])
  assert.ok(holdAt(nowMs))
  assert.ok(first.cutOff(cutoff))
  assert.ok(!first.cutOff({ ...cutoff, active: false, version: 1 }), 'an older one says nothing')
  for (const atMs of [nowMs, nowMs + 1, nowMs + 4_999]) assert.throws(() => holdAt(atMs), /cut off by a/)
  assert.ok(holdAt(nowMs + 5_000))
  first.cutOff({ ...cutoff, version: 2, until_ms: undefined } as unknown as Cutoff)
  assert.throws(() => holdAt(nowMs + 5_001), /cut off by a/)
  first.cutOff({ ...cutoff, version: 3, active: false })
  assert.ok(holdAt(nowMs + 5_002))
})

test('hard budgets are held in the order of their ids', () => {
  const budgets = [budgetOf('c', { mode: 'hard' }), budgetOf('b'), budgetOf('a', { mode: 'hard' })]
  const { hard } = met(budgets).holdAt(nowMs)
  assert.deepEqual(
    hard.map(({ budget }) => budget.budget_id),
    ['a', 'c'],
  )
})

test('budgets that come, change and go are met by the next call, and by those alone that are in their scope', () => {
  const index = new BudgetIndex()
  const state = new BudgetState()
  const caller = new MetByCaller(index, () => state)
  const identity = { account_id: 'acct', project_id: 'p', team_id: 't', key_id: 'k', credential_kind: 'key' } as const
  const met = (model = 'm', app?: string, who: CallIdentity = identity): string[] =>
    caller
      .meet(who, 'openai', model, app === undefined ? {} : { app })
      .hold(nowMs, () => new Error('cut off'))
      .budgets.map(({ budget }) => `${budget.budget_id} ${budget.limit}`)

  assert.deepEqual(met(), [])
  index.put(budgetOf('a', { scope: { project: 'p' } }))
  assert.deepEqual([met(), met()], [['a 100'], ['a 100']])
  index.put(budgetOf('a', { scope: { project: 'p' }, limit: 200 }))
  index.put(budgetOf('b', { scope: { key: 'k', model: 'n' } }))
  assert.deepEqual([met(), met('n'), met()], [['a 200'], ['b 100', 'a 200'], ['a 200']])
  index.remove('a')
  assert.deepEqual(met('n'), ['b 100'])
  index.put(budgetOf('c', { scope: { project: 'p', app: 'x' } }))
  assert.deepEqual([met('m', 'x'), met('m', 'y'), met('m', 'x')], [['c 100'], [], ['c 100']], 'what is claimed counts')
  assert.deepEqual(met('n', 'x', { ...identity, key_id: 'other' }), ['c 100'])
})

test('values that callers choose are met in their copies as they are told apart, call by call; a cutoff of the shared one refuses those alone', () => {
  const index = new BudgetIndex()
  const state = new BudgetState()
  const caller = new MetByCaller(index, () => state)
  const identity = { account_id: 'acct', project_id: 'p', team_id: 't', key_id: 'k', credential_kind: 'key' } as const
  const copyOf = (claimed: ClaimedDimensions, model = 'm') =>
    caller
      .meet(identity, 'openai', model, claimed, nowMs)
      .hold(nowMs, () => new Error('cut off'))
      .budgets.map(({ copy }) => copy)
  const cases: [Budget['per'], ClaimedDimensions, string][] = [
    ['app', { app: 'codex' }, 'codex'],
    ['session', { session_id: 's' }, 's'],
    ['agent', {}, 'unknown'],
    ['tag:ticket', { tags: { ticket: 'T-1' } }, 'T-1'],
    ['tag:ticket', { tags: { other: 'T-1' } }, 'unknown'],
    ['tag:constructor', { tags: { other: 'T-1' } }, 'unknown'],
    ['tag:__proto__', { tags: { other: 'T-1' } }, 'unknown'],
    ['tag:__proto__', { tags: Object.fromEntries([['__proto__', 'T-1']]) }, 'T-1'],
    ['model', {}, 'm'],
  ]
  for (const [per, claimed, copy] of cases) {
    index.put(budgetOf('a', { scope: { project: 'p' }, ...(per !== undefined && { per }) }))
    assert.deepEqual(copyOf(claimed), [copy], per)
  }
  index.put(budgetOf('a', { scope: { project: 'p' }, per: 'model' }))
  const show = (copy: string, full?: true) =>
    state.show({ ...windowOf(1), copy, ...(full && { full }), window_start_ms: 0 } as unknown as BudgetWindow)
  show('told')
  show('other')
  assert.deepEqual([copyOf({}, 'told'), copyOf({}, 'm')], [['told'], ['m']], 'it may get one')
  show('other', true)
  assert.deepEqual([copyOf({}, 'told'), copyOf({}, 'm')], [['told'], ['other']])
  state.cutOff({ ...cutoff, copy: 'other' })
  assert.throws(() => copyOf({}, 'm'), /cut off/)
  assert.deepEqual(copyOf({}, 'told'), ['told'])
})

test('a value is taken for its own until its window says that the list is full, or a home that it has none, for a minute of that window', () => {
  const state = new BudgetState()
  const show = (copy: string, startMs: number, full?: true) =>
    state.show({ ...windowOf(0, startMs + 1_000_000), copy, window_start_ms: startMs, ...(full && { full }) })
  show('told', 0)
  show('other', 0, true)
  assert.deepEqual(
    ['told', 'new', 'unknown', 'other'].map(value => state.copyOf(value, 999_999)),
    ['told', 'other', 'unknown', 'other'],
  )
  assert.equal(state.copyOf('new', 1_000_000), 'new', 'the window has ended, and the next tells apart anew')
  show('other', 1_000_000)
  assert.equal(state.copyOf('new', 1_000_000), 'new')

  show('told', 1_000_000)
  state.noteOther('told', 2_000_000, 1_000_000)
  assert.deepEqual([state.copyOf('told', 1_059_999), state.copyOf('told', 1_060_000)], ['other', 'told'])
  state.noteOther('told', 1_100_000, 1_090_000)
  assert.deepEqual([state.copyOf('told', 1_099_999), state.copyOf('told', 1_100_000)], ['other', 'told'])
})

test('a running call counts in the copy of all others once the list of its own window is full; what holds money, in the one that paid', () => {
  const state = new BudgetState()
  const running = (mode: Budget['mode'], atMs: number) =>
    state.copyOfRunning({ budget: budgetOf('a', { mode }), copy: 'new', said: { values: ['new'], atMs } }, nowMs)
  assert.equal(running('soft', nowMs - 1), 'new')
  state.show({ ...windowOf(0), copy: 'other', window_start_ms: nowMs - 10, full: true })
  assert.deepEqual(
    [running('soft', nowMs - 1), running('soft', nowMs - 11), running('hard', nowMs - 1)],
    ['other', 'new', 'new'],
  )
  state.show({ ...windowOf(0), copy: 'new', window_start_ms: nowMs - 10 })
  assert.equal(running('soft', nowMs - 1), 'new')
})

test('a cutoff that nothing more is told of is forgotten, also by a gateway that has not heard that it was lifted', () => {
  const state = new BudgetState()
  state.cutOff({ ...cutoff, copy: 'once' })
  const { version } = state
  assert.ok(state.findCutoff('once', nowMs))
  state.forgetCutoff('once')
  assert.equal(state.findCutoff('once', nowMs), undefined)
  assert.ok(state.version > version)
  assert.ok(state.cutOff({ ...cutoff, copy: 'once' }))
})
