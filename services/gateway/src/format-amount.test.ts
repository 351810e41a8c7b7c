import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAmount, formatUsd } from './format-amount.ts'

test('nano-USD are written exactly, without zeros that say nothing', () => {
  const texts: [number, string][] = [
    [0, '0'],
    [1, '0.000000001'],
    [-1, '-0.000000001'],
    [12_500_000, '0.0125'],
    [100_000_000, '0.1'],
    [1_000_000_000, '1'],
    [-1_500_000_000, '-1.5'],
    [10_000_000_000, '10'],
    [100_000_000_010, '100.00000001'],
    [Number.MAX_SAFE_INTEGER, '9007199.254740991'],
  ]
  for (const [nanoUsd, text] of texts) assert.equal(formatUsd(nanoUsd), text)
  assert.equal(formatAmount(1_000, 'tokens'), '1000')
})
