import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exactInteger, exactUsd, formatUsd } from './exact-json.ts'

test('nano-USD become USD digit for digit', () => {
  const cases: [bigint, string][] = [
    [0n, '0'],
    [1n, '0.000000001'],
    [1_500_000n, '0.0015'],
    [1_000_000_000n, '1'],
    [-2_500_000_000n, '-2.5'],
    [9_007_199_254_740_993n, '9007199.254740993'],
    [123_456_789_012_345_678_901n, '123456789012.345678901'],
  ]
  for (const [nano, text] of cases) assert.equal(formatUsd(nano), text)
})

test('numbers beyond what a float holds are written unrounded', () => {
  assert.equal(
    JSON.stringify({ price: exactUsd(123_456_789_012_345_678_901n), total: exactInteger(9_007_199_254_740_993n) }),
    '{"price":123456789012.345678901,"total":9007199254740993}',
  )
})
