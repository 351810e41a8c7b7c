import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budget } from '@sluice/contracts'
import { WalletPool } from '@sluice/leases'
import { UnknownAllowance } from './unknown-allowance.ts'

const poolOf = (isConcurrent: boolean) =>
  new WalletPool({ budgetId: 'b', copy: '', windowStartMs: 0, windowEndMs: undefined, home: 0, isConcurrent })
const budget = { on_unknown: { allow_up_to: 2 } } as Budget

test('a slot that was taken while its home was silent comes back with the end of its call, money does not', () => {
  const allowance = new UnknownAllowance()
  const slots = poolOf(true)
  const ends = [allowance.take(slots, 1), allowance.take(slots, 1)]
  assert.equal(allowance.has(budget, slots, 1), false)
  ends[0]?.()
  assert.equal(allowance.has(budget, slots, 1), true)
  assert.equal(allowance.has(budget, slots, 2), false)
  const money = poolOf(false)
  assert.equal(allowance.take(money, 2), undefined)
  assert.equal(allowance.has(budget, money, 1), false)
})
