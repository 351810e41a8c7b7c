import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findInexactNumber } from './inexact-number.ts'

test('a number is what it says, in whichever form a float holds it', () => {
  for (const exact of ['0', '-0', '25', '0.1', '25.50', '1e3', '1E+3', '1.5e-7', '0e9', '9007199254740991', '2.5e-3'])
    assert.equal(findInexactNumber(`{"amount": [${exact}]}`), undefined, exact)
  for (let power = -320; power <= 307; power++)
    assert.equal(findInexactNumber(JSON.stringify([Math.PI * 10 ** power, 2 ** power, 10 ** power])), undefined)
})

test('a number with more digits than a float has is found, and none in a text', () => {
  for (const inexact of [
    '9007199254740993',
    '-9007199254740993',
    '9007199254740991.4',
    '5.00000000000000001',
    '0.10000000000000001',
    '1e400',
    '1e-400',
    '123456789012345678e-9',
  ])
    assert.equal(findInexactNumber(`{"a": "\\"1e999", "b": [1, {"c":${inexact}}]}`), inexact)
  assert.equal(findInexactNumber('{"9007199254740993": "0.10000000000000001 \\\\"}'), undefined)
  for (let power = 53n; power <= 100n; power++) {
    const odd = String(2n ** power + 1n)
    assert.equal(findInexactNumber(`[1, ${odd}, 2]`), odd)
  }
})
