import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quantityNames } from '@sluice/contracts'
import { toUsageReport, usageTypeOf } from './usage-report.ts'

const report = (
  sum: { provider: string; quantities: Record<string, string>; costs: Record<string, string>; simulated?: boolean },
  type?: string,
) => JSON.parse(JSON.stringify(toUsageReport('p', [{ model: 'm', simulated: false, ...sum }], type)))

test('cache writes of every length are one type, and prices sum to the cost', () => {
  const rows = report({
    provider: 'anthropic',
    quantities: { in_text: '10', in_cache_write_5m: '3', in_cache_write_1h: '4', in_cache_read: '5', out_text: '0' },
    costs: { in_text: '1', in_cache_write_5m: '30', in_cache_write_1h: '60', in_cache_read: '5', unattributed: '7' },
  })
  assert.deepEqual(
    rows.map((row: { type: string; total: number; cost_nano_usd: string }) => [row.type, row.total, row.cost_nano_usd]),
    [
      ['input_tokens', 10, '1'],
      ['cache_read_input_tokens', 5, '5'],
      ['cache_creation_input_tokens', 7, '90'],
      ['unattributed', 0, '7'],
    ],
  )
})

test('parts of the output are not counted beside it', () => {
  const rows = report({
    provider: 'openai',
    quantities: { out_text: '20', out_reasoning: '15', in_cache_read: '2' },
    costs: { out_text: '9' },
  })
  assert.deepEqual(
    rows.map((row: { type: string }) => row.type),
    ['cached_tokens', 'output_tokens'],
  )
})

test('one type alone can be asked for', () => {
  const rows = report({ provider: 'openai', quantities: { in_text: '1', out_text: '2' }, costs: {} }, 'output_tokens')
  assert.deepEqual(
    rows.map((row: { type: string; total: number }) => [row.type, row.total]),
    [['output_tokens', 2]],
  )
})

test('a row says that the simulator answered, and one of a provider has no word about it', () => {
  const sum = { provider: 'openai', quantities: { in_text: '1' }, costs: { in_text: '2' } }
  const row = {
    project_id: 'p',
    provider: 'openai',
    model: 'm',
    type: 'input_tokens',
    total: 1,
    price: 0.000000002,
    cost_nano_usd: '2',
  }
  assert.deepEqual(report(sum), [row])
  assert.deepEqual(report({ ...sum, simulated: true }), [{ ...row, served_by: 'simulator' }])
})

test('every quantity has a type or is a part of one', () => {
  for (const name of quantityNames)
    for (const provider of ['openai', 'anthropic'])
      assert.ok(usageTypeOf(provider, name) ?? ['out_reasoning', 'pred_accepted', 'pred_rejected'].includes(name))
})
