import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, BudgetWindow, CallIdentity, Cutoff } from '@sluice/contracts'
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
