import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { BudgetUnit } from './call-bound.ts'
import { costUp, LinearBound } from './linear-bound.ts'

const units: readonly BudgetUnit[] = ['usd', 'tokens', 'requests', 'concurrent']
const bounds = fc
  .record({
    outputTokens: fc.nat(2_000_000),
    fixedTokens: fc.nat(3_000_000),
    fixedNanoUsd: fc.oneof(fc.nat(1_000_000_000), fc.constant(Number.MAX_SAFE_INTEGER)),
    outputRate: fc.oneof(fc.nat(1_000_000), fc.maxSafeNat()),
    outputTimes: fc.integer({ min: 1, max: 3 }),
    leastOutputTokens: fc.nat(5_000),
  })
  .map(
    terms => new LinearBound({ ...terms, clamp: undefined, requests: 1, tightness: 'loose', unboundedBy: undefined }),
  )

test('what tokens cost is rounded up, to the last nano-dollar, or is more than any budget has', () => {
  fc.assert(
    fc.property(fc.nat(100_000_000), fc.maxSafeNat(), (tokens, rate) => {
      const exact = (BigInt(tokens) * BigInt(rate) + 999_999n) / 1_000_000n
      const safe = BigInt(Number.MAX_SAFE_INTEGER)
      assert.equal(BigInt(costUp(tokens, rate)), exact > safe ? safe : exact)
    }),
  )
})

test('with more output a bound never comes to less', () => {
  fc.assert(
    fc.property(bounds, fc.nat(2_000_000), fc.nat(2_000_000), fc.constantFrom(...units), (bound, one, other, unit) => {
      const [less, more] = one < other ? [one, other] : [other, one]
      assert.ok(bound.amount(unit, less) <= bound.amount(unit, more))
      assert.ok(Number.isSafeInteger(bound.amount(unit, more)))
    }),
  )
})

test('the most output within an amount fits, and one token more would not', () => {
  fc.assert(
    fc.property(
      bounds,
      fc.oneof(fc.nat(4_000_000), fc.maxSafeNat()),
      fc.constantFrom(...units),
      (bound, amount, unit) => {
        const output = bound.outputWithin(unit, amount)
        if (output < 0) assert.ok(bound.amount(unit, 0) > amount)
        else assert.ok(bound.amount(unit, output) <= amount)
        assert.ok(output <= bound.outputTokens)
        if (output >= 0 && output < bound.outputTokens) assert.ok(bound.amount(unit, output + 1) > amount)
      },
    ),
  )
})

test('the least output of use is never above what may be put out', () => {
  fc.assert(fc.property(bounds, bound => bound.leastOutputTokens <= bound.outputTokens))
})
