import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatUsd, writeRefusal } from './receipt-line.ts'

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

test('a refused call says why, and by which budget', () => {
  const line = writeRefusal({
    call_id: '0190f000-0000-7000-8000-000000000001',
    gateway_id: 'gw_1',
    refused_at_ms: 0,
    claimed: {},
    dialect: 'openai',
    endpoint: 'chat.completions',
    requested_model: 'gpt-5.4',
    reason: 'budget_spent',
    http_status: 402,
    budget: { budget_id: 'bud_1', name: 'tiny', copy: '', unit: 'usd', limit: 1, spent: 2 },
    count: 3,
  })
  assert.match(line, /^\d\d:\d\d:\d\d {2}gpt-5\.4 {2}refused: budget_spent \(tiny\), 402 {2}3 calls$/)
})
