import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mostNumberBytes, mostTextBytes, writeNumber, writeText } from './json-bytes.ts'

const buffer = Buffer.alloc(1_000, '.')

test('every number is written as JSON.stringify writes it', () => {
  const numbers = [-1, -0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, -Number.MAX_VALUE, 1e21, Number.MAX_SAFE_INTEGER]
  for (let power = 1; power < Number.MAX_SAFE_INTEGER; power *= 10)
    for (const near of [power - 1, power, power + 1, power * 7]) if (near <= Number.MAX_SAFE_INTEGER) numbers.push(near)
  for (let power = 1; power < Number.MAX_SAFE_INTEGER; power *= 2) numbers.push(power - 1, power)
  for (const number of numbers) {
    const end = writeNumber(buffer, 3, number)
    assert.equal(buffer.toString('utf8', 3, end), JSON.stringify(number))
    assert.ok(end - 3 <= mostNumberBytes, String(number))
  }
})

test('every text is written as JSON.stringify writes it', () => {
  const texts = ['', '12-0', 'a "b"', 'a\\b', 'a\nb', 'ü', '世界 🙂', '\ud800', '\u007f', '~ ', '\u0000']
  for (const text of texts) {
    const end = writeText(buffer, 3, text)
    assert.equal(buffer.toString('utf8', 3, end), JSON.stringify(text))
    assert.ok(end - 3 <= mostTextBytes(text), text)
  }
})
