import assert from 'node:assert/strict'
import { test } from 'node:test'
import { divideHalfEven, NOTHING_METERED, priceLines } from './cost.ts'
import { findModel, SIM_PRICES, type SimPrice } from './prices.ts'

function priceOf(model: string): SimPrice {
  const found = findModel(model)
  assert.ok(found)
  return found.price
}

test('a half is rounded to the even neighbour, anything else to the nearer one', () => {
  const cases = [
    [0, 0],
    [499, 0],
    [500, 0],
    [501, 1],
    [1500, 2],
    [2500, 2],
    [2501, 3],
  ] as const
  for (const [amount, rounded] of cases) assert.equal(divideHalfEven(amount, 1000), rounded)
})

test('each line is rounded on its own and zero quantities make none', () => {
  // 37.5 and 375 nano-dollars a token: three cached tokens are 112.5, to the even 112.
  const metered = { ...NOTHING_METERED, input_fresh: 3, input_from_cache: 3 }
  assert.deepEqual(priceLines(priceOf('gpt-5.4-mini'), metered, { tier: 'flex', geo: null }), [
    { item: 'input_fresh', units: 3, nano_usd: 1125 },
    { item: 'input_from_cache', units: 3, nano_usd: 112 },
  ])
})

test('the long rates begin at the threshold, counted over all input', () => {
  const inputCost = (model: string, fresh: number, cached: number) =>
    priceLines(
      priceOf(model),
      { ...NOTHING_METERED, input_fresh: fresh, input_from_cache: cached },
      { tier: 'default', geo: null },
    )[0]?.nano_usd
  assert.equal(inputCost('gpt-5.4', 1000, 270_999), 1000 * 2_500)
  assert.equal(inputCost('gpt-5.4', 1000, 271_000), 1000 * 5_000)
  assert.equal(inputCost('claude-sonnet-4-5', 1000, 199_000), 1000 * 3_000)
  assert.equal(inputCost('claude-sonnet-4-5', 1000, 199_001), 1000 * 6_000)
  assert.equal(inputCost('claude-sonnet-4-6', 1000, 500_000), 1000 * 3_000)
})

test('a dated name is billed as its model, and no two models share a name', () => {
  assert.equal(findModel('gpt-4o-mini-2024-07-18')?.model, 'gpt-4o-mini')
  const names = Object.entries(SIM_PRICES).flatMap(([model, price]) => [model, ...price.snapshots])
  assert.equal(new Set(names).size, names.length)
})

test('an amount too large to be exact is refused, not rounded', () => {
  const metered = { ...NOTHING_METERED, output: 2 ** 40 }
  assert.throws(() => priceLines(priceOf('gpt-5.4'), metered, { tier: 'default', geo: null }), RangeError)
})
