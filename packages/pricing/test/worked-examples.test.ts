import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { importCatalogue } from '../src/catalogue.ts'
import { compilePriceBook, rate } from '../src/index.ts'
import { type WorkedLine, workedExamples } from './worked-examples.ts'
import { renderPage } from './worked-examples-page.ts'

const books = { book: compilePriceBook(importCatalogue({ atMs: Date.parse('2026-11-25T00:00:00Z') }).book) }

/** `used × USD × times / per` in nano-USD by big integers, from the printed text alone: a fraction, and rounded half to even. */
function workOut({ used, usd, per, times = [1, 1] }: WorkedLine): {
  numerator: bigint
  denominator: bigint
  rounded: bigint
} {
  const [whole = '', cents = ''] = usd.split('.')
  const numerator = BigInt(used) * BigInt(whole + cents) * 10n ** 9n * BigInt(times[0])
  const denominator = 10n ** BigInt(cents.length) * BigInt(per) * BigInt(times[1])
  const floor = numerator / denominator
  const twice = (numerator % denominator) * 2n
  const rounded = twice > denominator || (twice === denominator && floor % 2n === 1n) ? floor + 1n : floor
  return { numerator, denominator, rounded }
}

for (const [index, example] of workedExamples.entries()) {
  test(`worked example ${index + 1}: ${example.title}`, () => {
    let sum = 0n
    for (const line of example.lines) {
      const { numerator, denominator, rounded } = workOut(line)
      const [whole = '', fraction = ''] = line.exact.split('.')
      assert.equal(BigInt(whole + fraction) * denominator, numerator * 10n ** BigInt(fraction.length), line.exact)
      assert.equal(rounded, BigInt(line.nanoUsd))
      sum += rounded
    }
    assert.equal(sum, BigInt(example.nanoUsd))
    assert.equal(Number(example.usd).toFixed(9), (example.nanoUsd / 1e9).toFixed(9))

    const { provider, model, usage } = example
    const rating = rate(books, { provider, model: usage.served_model ?? model, ...usage })
    assert.deepEqual(
      rating.line_items.map(line => [line.quantity_name, line.quantity, line.model, line.cost_nano_usd]),
      example.lines.map(line => [line.quantity, line.used, line.model, line.nanoUsd]),
    )
    assert.equal(rating.cost_nano_usd, example.nanoUsd)
    assert.equal(rating.priced, true)
  })
}

test('there are at least twenty, and the page is the table', () => {
  assert.ok(workedExamples.length >= 20)
  const page = readFileSync(join(import.meta.dirname, '..', 'WORKED-EXAMPLES.md'), 'utf8')
  assert.equal(page, renderPage(workedExamples), 'node packages/pricing/test/write-worked-examples.ts writes it')
})
