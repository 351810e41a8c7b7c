import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatAmount, maxAmount, parseAmount } from './amount.ts'

test('a USD limit is read to the nano-dollar from its text', () => {
  assert.equal(parseAmount('usd', '0.01'), 10_000_000n)
  assert.equal(parseAmount('usd', '0.000000001'), 1n)
  assert.equal(parseAmount('usd', '1234567.1'), 1_234_567_100_000_000n)
  assert.equal(parseAmount('tokens', '5000'), 5000n)
})

test('what is no exact amount is refused', () => {
  for (const text of ['', '-1', '1e3', '0.0000000001', '1,5', ' 1', '.5', '9007199.254740992', '99999999999999999'])
    assert.equal(parseAmount('usd', text), undefined, text)
  assert.equal(parseAmount('tokens', '1.5'), undefined)
})

test('an amount written is the amount read', () => {
  fc.assert(
    fc.property(fc.constantFrom('usd', 'tokens'), fc.bigInt({ min: 0n, max: maxAmount }), (unit, amount) => {
      assert.equal(parseAmount(unit, formatAmount(unit, amount)), amount)
    }),
  )
  assert.equal(formatAmount('usd', 10_000_000n), '0.01')
  assert.equal(formatAmount('usd', 25_000_000_000n), '25.00')
  assert.equal(formatAmount('usd', -1n), '-0.000000001')
})
