import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leaseIdOf } from '@sluice/contracts'
import { drawnIn, PoolSet, WaitingLine, Wallet } from '@sluice/leases'
import type { MatchedBudget } from '../budget-index.ts'
import { Money } from './money.ts'

const now = 1_000_000

/** A run that has 1,000 of each of these budgets of tokens, all that is. */
function runWith(ids: readonly string[]) {
  const wallet = new Wallet({ gatewayId: 'gw', epoch: 1 })
  const line = new WaitingLine(wallet, { send: () => {} })
  const pools = ids.map(budgetId =>
    wallet.pool({ budgetId, copy: '', windowStartMs: 0, windowEndMs: undefined, home: 0, isConcurrent: false }),
  )
  wallet.ask(
    pools.map(pool => ({ pool, want: 1_000, need: 1_000 })),
    now,
  )
  const seq = wallet.openAsks[0]?.message.seq ?? 0
  const grants = ids.map((_, at) => ({ lease_id: leaseIdOf('gw', 1, seq, at), amount: 1_000, left: 0 }))
  wallet.answer({ seq, term: 1, grants }, now)
  const budgets = ids.map(budget_id => ({ budget: { budget_id, unit: 'tokens' }, copy: '' }) as MatchedBudget)
  const hold = (...amounts: number[]) => {
    const needs = pools.map((pool, at) => ({ pool, want: amounts[at] ?? 0, need: 0 }))
    const held = wallet.hold('attempt', needs, now, true)
    assert.ok(held)
    return held
  }
  return {
    wallet,
    hold,
    rowOf: (...amounts: number[]) => {
      const held = wallet.holdOfOldest('attempt', new PoolSet(pools), amounts, now)
      assert.ok(held)
      return new Money({ wallet, line, send: () => {} }, held, budgets)
    },
    moneyOf: (...amounts: number[]) => new Money({ wallet, line, send: () => {} }, hold(...amounts), budgets),
  }
}

const used = (tokens: number) =>
  ({
    cost_nano_usd: 0,
    http_status: 200,
    paid_by: 'managed',
    status: 'completed',
    quantities: { out_text: tokens },
  }) as const

test('what an attempt uses beyond what it holds counts in each of its budgets, whichever it was extended by', () => {
  const { wallet, hold, moneyOf } = runWith(['bud_a', 'bud_b'])
  const money = moneyOf(100, 100)
  money.extend(hold(0, 400), () => true)
  money.extend(hold(0, 0), () => true)
  assert.deepEqual(drawnIn(money.settle(used(700), false, now)), [
    [['bud_a', '', 0], 100, [['1-0', 700, 700]]],
    [
      ['bud_b', '', 0],
      500,
      [
        ['1-1', 100, 100],
        ['1-1', 600, 700],
      ],
    ],
  ])
  assert.deepEqual(
    wallet.totals().map(({ settled_total }) => settled_total),
    [700, 700],
  )
})

test('budgets of which an attempt has used more than it held are named, whichever way it held that', () => {
  const { hold, moneyOf, rowOf } = runWith(['bud_a', 'bud_b'])
  const namedBy = (money: Money, tokens: number) => {
    money.settle(used(tokens), false, now)
    return money.exceeded.map(({ budget }) => budget.budget_id)
  }
  assert.deepEqual(namedBy(moneyOf(100, 50), 50), [])
  assert.deepEqual(namedBy(rowOf(100, 50), 51), ['bud_b'])
  const extended = moneyOf(10, 20)
  extended.extend(hold(0, 30), () => true)
  assert.deepEqual(namedBy(extended, 50), ['bud_a'])
})

test('what an attempt uses beyond what it has given back counts whole', () => {
  const { wallet, hold, moneyOf } = runWith(['bud_a', 'bud_b'])
  const money = moneyOf(200, 200)
  money.extend(hold(300, 0), () => true)
  money.lower([150, 50])
  assert.deepEqual([money.heldOf(0), money.heldOf(1)], [150, 50])
  money.settle(used(450), false, now)
  assert.deepEqual(
    wallet.totals().map(({ settled_total }) => settled_total),
    [450, 450],
  )
})

test('what an OPEN is told by leases is what it would say in full, and stays so whatever becomes of the money', () => {
  const { hold, moneyOf, rowOf } = runWith(['bud_a', 'bud_b'])
  const [money, same] = [rowOf(200, 300), moneyOf(200, 300)]
  assert.equal(same.heldRow, undefined)
  const { heldRow } = money
  const inFull = same.journaled
  assert.deepEqual(heldRow?.holds, inFull)
  assert.deepEqual([money.heldOf(1), money.leftOf('bud_b', '')], [300, same.leftOf('bud_b', '')])
  money.lower([100, 300])
  money.extend(hold(0, 50), holds => holds[1]?.parts[0]?.[1] === 350)
  assert.equal(money.heldRow, undefined)
  assert.deepEqual(heldRow?.holds, inFull)
  assert.deepEqual(
    drawnIn(money.settle(used(40), false, now)).map(([, held]) => held),
    [100, 350],
  )
})
