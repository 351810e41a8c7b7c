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

test('new events take the numbers that are missing before they take new ones', () => {
  const numbers = new MissingNumbers(0)
  for (const seq of [1, 4]) numbers.see(seq)
  assert.deepEqual([numbers.take(), numbers.take(), numbers.take()], [2, 3, 5])
  assert.equal(numbers.count, 0)
})
