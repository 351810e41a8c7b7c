import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contiguousTo, emptyMark, receiveRange, type SeriesMark } from './series-mark.ts'

test('ranges in any order and any borders are new exactly once', () => {
  let seed = 7
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    return seed % n
  }
  for (let round = 0; round < 200; round++) {
    let mark: SeriesMark = emptyMark
    const seen = new Map<number, number>()
    for (let i = 0; i < 40; i++) {
      const first = 1 + random(60)
      const last = Math.min(60, first + random(12))
      const result = receiveRange(mark, first, last)
      mark = result.mark
      for (const range of result.fresh)
        for (let n = range.first; n <= range.last; n++) seen.set(n, (seen.get(n) ?? 0) + 1)
      assert.ok([...seen.values()].every(count => count === 1))
      for (let n = first; n <= last; n++) assert.ok(seen.has(n))
      for (let n = 1; n <= mark.last; n++) assert.equal(seen.has(n), !mark.gaps.some(([a, b]) => a <= n && n <= b))
    }
  }
})

test('a redelivered range brings nothing new', () => {
  const { mark } = receiveRange(emptyMark, 1, 10)
  assert.deepEqual(receiveRange(mark, 3, 8), { fresh: [], mark })
})

test('a gap stops the contiguous part until it is filled', () => {
  const { mark } = receiveRange(receiveRange(emptyMark, 1, 3).mark, 6, 9)
  assert.equal(contiguousTo(mark), 3)
  assert.equal(contiguousTo(receiveRange(mark, 4, 5).mark), 9)
})
