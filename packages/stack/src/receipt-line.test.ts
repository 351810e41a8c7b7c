import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatUsd } from './receipt-line.ts'

test('money is written exactly, to the nano-dollar', () => {
  for (const [nano, text] of [
    [0n, '$0.00'],
    [1n, '$0.000000001'],
    [1_250_000n, '$0.00125'],
    [12_500_000_000n, '$12.50'],
    [9_007_199_254_740_993n, '$9007199.254740993'],
    [-10_000_000n, '-$0.01'],
  ] as const)
    assert.equal(formatUsd(nano), text)
})
