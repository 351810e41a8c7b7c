import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget } from '@sluice/contracts'
import { type Hold, nothingHeld } from '../met-budgets.ts'
import { joinHolds } from './admit-requests.ts'

test('a batch passes by limits of requests and tokens a minute, and holds what it costs of every hard budget', () => {
  const budgets = [
    { unit: 'requests', window: 'minute' },
    { unit: 'tokens', window: 'minute' },
    { unit: 'usd', window: 'minute' },
    { unit: 'usd', window: 'day' },
    { unit: 'tokens', window: 'day' },
    { unit: 'concurrent', window: 'total' },
  ].map((wish, at) => ({ budget: { budget_id: `bud_${at}`, mode: 'hard', ...wish } as Budget, copy: '' }))
  const hold: Hold = { ...nothingHeld, budgets, hard: budgets }
  const { hard } = joinHolds([hold, hold], ['a', 'b'])
  assert.deepEqual(
    hard.map(({ budget }) => budget.budget_id),
    ['bud_2', 'bud_3', 'bud_4', 'bud_5'],
  )
})
