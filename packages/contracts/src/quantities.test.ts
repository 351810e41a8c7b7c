import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type QuantityName, quantityNames, totalInputTokens, totalOutputTokens } from './quantities.ts'

const input = quantityNames.filter(name => name.startsWith('in_'))
const output: QuantityName[] = ['out_text', 'out_audio', 'out_image']

test('tokens of either side are the sum of its quantities, none twice and none left out', () => {
  const all = Object.fromEntries(quantityNames.map((name, place) => [name, 2 ** place]))
  const sumOf = (names: readonly QuantityName[]) => names.reduce((sum, name) => sum + (all[name] ?? 0), 0)
  assert.equal(totalInputTokens(all), sumOf(input))
  assert.equal(totalOutputTokens(all), sumOf(output))
  assert.equal(totalInputTokens({}), 0)
  assert.equal(totalOutputTokens({}), 0)
})
