import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MissingNumbers } from './missing-numbers.ts'

test('a number counts once, late or not', () => {
  const numbers = new MissingNumbers(4)
  assert.deepEqual(
    [5, 6, 6, 9, 7, 7, 4].map(seq => numbers.see(seq)),
    [true, true, false, true, true, false, false],
  )
  assert.deepEqual([numbers.last, numbers.count], [9, 1])
})

test('only an event that lost its number takes one that is missing', () => {
  const numbers = new MissingNumbers(0)
  for (const seq of [1, 4]) numbers.see(seq)
  assert.equal(numbers.takeNext(), 5)
  assert.deepEqual([numbers.takeMissing(), numbers.takeMissing(), numbers.takeMissing()], [2, 3, 6])
  assert.equal(numbers.count, 0)
})
