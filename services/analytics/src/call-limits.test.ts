import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MetBudgets } from '@sluice/contracts'
import type { Call } from './call.ts'
import { explainLimits } from './call-limits.ts'

const met = (per: string | undefined, copy: string): MetBudgets =>
  ({
    budgets: [
      {
        budget: {
          budget_id: 'bud',
          name: 'Each',
          scope: {},
          unit: 'requests',
          limit: 5,
          window: 'day',
          mode: 'hard',
          per,
        },
        ...{ copy, window_start_ms: 0, spent_before: '1' },
      },
    ],
    stops: [],
  }) as unknown as MetBudgets

const call = (held: [string, number][], refusedIn?: string): Call =>
  ({
    attempts: [
      {
        held_money: JSON.stringify(held.map(([copy, amount]) => ['bud', copy, 0, amount, amount])),
        ...{ clamped_budget_id: '', cut_budget_id: '', cut_reason: '', input_tokens: '0', output_tokens: '0' },
      },
    ],
    refusals:
      refusedIn === undefined
        ? []
        : [
            {
              budget: JSON.stringify({ budget_id: 'bud', copy: refusedIn }),
              reason: 'budget_spent',
              message: '',
              stop_id: '',
            },
          ],
  }) as unknown as Call

test('of what callers choose a call is explained by the copies that it held money of, or that said no; of others by what it met', () => {
  const explained = (of: Call, per: string | undefined, copy: string) =>
    explainLimits(of, met(per, copy)).budgets.map(one => [one.copy, one.held, one.spent_before, one.verdict])
  assert.deepEqual(explained(call([['other', 2]]), 'session', 'new'), [['other', '2', null, 'passed']])
  assert.deepEqual(explained(call([['new', 2]]), 'session', 'new'), [['new', '2', '1', 'passed']])
  assert.deepEqual(explained(call([], 'other'), 'session', 'new'), [['other', null, null, 'refused']])
  assert.deepEqual(explained(call([]), 'session', 'new'), [['new', null, '1', 'passed']])
  assert.deepEqual(
    explained(
      call([
        ['gpt-4o', 1],
        ['other', 30],
      ]),
      'model',
      'unknown',
    ),
    [
      ['gpt-4o', '1', null, 'passed'],
      ['other', '30', null, 'passed'],
    ],
    'a batch',
  )
  assert.deepEqual(explained(call([['m', 2]]), 'member', 'n'), [['n', null, '1', 'passed']])
})
