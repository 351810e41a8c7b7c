import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget, BudgetWindow, UsageRecordedData } from '@sluice/contracts'
import { findTightest, matchingCopies } from './budget-left.ts'

const identity = { account_id: 'acct_1', project_id: 'p1', team_id: 'team_1', room: 'lobby', credential_kind: 'key' }
const claimed = { app: 'codex', tags: { ticket: 'T-1' } }
const event = { identity, claimed, requested_model: 'gpt-5.4', provider: 'openai' } as unknown as UsageRecordedData
const budget = (fields: Partial<Budget>) => ({ account_id: 'acct_1', scope: {}, limit: 100, ...fields }) as Budget
const window = (fields: Partial<BudgetWindow>) =>
  ({ spent: 0, held: 0, window_end_ms: 2_000, ...fields }) as BudgetWindow

test('a call counts against the budgets whose every named dimension it has, and against its own copy', () => {
  const budgets = [
    budget({ name: 'project', scope: { project: 'p1' } }),
    budget({ name: 'other project', scope: { project: 'p2' } }),
    budget({ name: 'other account', account_id: 'acct_2' }),
    budget({ name: 'each room', scope: { project: 'p1' }, per: 'room' }),
    budget({ name: 'each member', scope: { project: 'p1' }, per: 'member' }),
    budget({ name: 'each model', scope: { app: 'codex' }, per: 'model' }),
    budget({ name: 'each session', scope: { tag: 'ticket=T-1' }, per: 'session' }),
    budget({ name: 'each ticket', per: 'tag:ticket' }),
    budget({ name: 'another ticket', scope: { tag: 'ticket=T-2' } }),
  ]
  const found = matchingCopies(event, budgets).map(({ budget: { name }, copy }) => `${name}:${copy}`)
  assert.deepEqual(found, [
    'project:',
    'each room:lobby',
    'each model:gpt-5.4',
    'each session:unknown',
    'each ticket:T-1',
  ])
})

test('the tightest budget is the one with the smallest share left, and a window that has ended counts nothing', () => {
  const wide = budget({ budget_id: 'wide', name: 'wide', limit: 1_000 })
  const narrow = budget({ budget_id: 'narrow', name: 'narrow', limit: 10 })
  const copies = [
    { budget: wide, copy: '' },
    { budget: narrow, copy: '' },
  ]
  const windows: Record<string, BudgetWindow> = { wide: window({ spent: 900 }), narrow: window({ spent: 5 }) }
  const windowOf = (of: Budget) => windows[of.budget_id]
  assert.deepEqual(findTightest(copies, windowOf, 1_000), { name: 'wide', unit: undefined, left: 100, limit: 1_000 })
  windows.wide = window({ spent: 900, window_end_ms: 500 })
  assert.equal(findTightest(copies, windowOf, 1_000)?.name, 'narrow')
  assert.equal(findTightest([], windowOf, 1_000), undefined)

  const each = [{ budget: budget({ budget_id: 'each', name: 'each', per: 'session' }), copy: 'one of many' }]
  const ofOthers = (shared: Partial<BudgetWindow>) => (_: Budget, copy: string) =>
    copy === 'other' ? window({ spent: 60, ...shared }) : undefined
  assert.equal(findTightest(each, ofOthers({ full: true }), 1_000)?.left, 40)
  assert.equal(findTightest(each, ofOthers({}), 1_000)?.left, 100, 'it may get a copy of its own')
})
