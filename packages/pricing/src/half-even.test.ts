import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exactLineCost, lineCost } from './half-even.ts'

test('a line rounds once, half to even', () => {
  const table: [quantity: number, rate: number, numerator: number, denominator: number, cost: number][] = [
    [0, 5_000_000_000, 1, 1, 0],
    [1, 5_000_000_000, 1, 1, 5000],
    [1, 500_000, 1, 1, 0],
    [3, 500_000, 1, 1, 2],
    [5, 500_000, 1, 1, 2],
    [7, 500_000, 1, 1, 4],
    [1, 500_001, 1, 1, 1],
    [1, 499_999, 1, 1, 0],
    [1, 1_000_000, 1, 2, 0],
    [3, 1_000_000, 1, 2, 2],
    [1, 1_500_000, 1, 1, 2],
    [1, 2_500_000, 1, 1, 2],
    // Not 0 then doubled: the ratio is part of the one rounding.
    [1, 400_000, 3, 1, 1],
    [7, 75_000_000, 11, 10, 578],
    [1_000_000_000, 15_000_000_000, 1, 1, 15_000_000_000_000],
    [200_000, 37_500_000_000, 11, 10, 8_250_000_000],
  ]
  for (const [quantity, rate, numerator, denominator, cost] of table) {
    const at = `${quantity} × ${rate} × ${numerator}/${denominator}`
    assert.equal(lineCost(quantity, rate, numerator, denominator), cost, at)
    assert.equal(exactLineCost(quantity, rate, numerator, denominator), cost, at)
  }
})

test('the fast path equals the exact path wherever it is taken', () => {
  const ratio = fc.integer({ min: 1, max: 1000 })
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 40 }),
      fc.integer({ min: 0, max: 2 ** 46 }),
      ratio,
      ratio,
      (quantity, rate, numerator, denominator) => {
        assert.equal(
          lineCost(quantity, rate, numerator, denominator),
          exactLineCost(quantity, rate, numerator, denominator),
        )
      },
    ),
    { numRuns: 3000, seed: 7 },
  )
  // Ties and their neighbours, which random numbers almost never meet.
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 }), fc.integer({ min: -1, max: 1 }), (whole, off) => {
      const rate = whole * 1_000_000 + 500_000 + off
      assert.equal(lineCost(1, rate, 1, 1), exactLineCost(1, rate, 1, 1))
    }),
    { numRuns: 1000, seed: 7 },
  )
})

test('a cost that no safe integer holds is not given as a number', () => {
  assert.ok(Number.isNaN(lineCost(Number.MAX_SAFE_INTEGER, 15_000_000_000, 1, 1)))
})
