import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenCounter } from '../token-counter.ts'
import { NotCountedError, TextCounting } from './text-counting.ts'

test('a long text is counted whole in a thread of its own, as a short one is at once', async t => {
  const counter = new TokenCounter()
  counter.load()
  const counting = new TextCounting(text => counter.countWhole(text))
  t.after(() => counting.close())
  assert.equal(counting.count('The quick brown fox.'), 5)
  const long = ' sea'.repeat(20_000)
  // The first text may wait for the vocabulary longer than anybody waits for a count.
  const countInTheEnd = async (text: string): Promise<number> => {
    for (;;)
      try {
        return await counting.count(text)
      } catch (error) {
        assert.ok(error instanceof NotCountedError)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
  }
  assert.equal(await countInTheEnd(long), 20_000)
  assert.ok((await countInTheEnd(`${long}\ud800`)) > 20_000)
})

test('more texts than may wait are turned away, and those that wait are let go when the thread ends', async () => {
  const counting = new TextCounting(() => undefined)
  const counts = Promise.allSettled(Array.from({ length: 66 }, () => counting.count('x'.repeat(10_000))))
  await counting.close()
  const reasons = (await counts).map(result => (result.status === 'rejected' ? String(result.reason) : ''))
  assert.equal(reasons.filter(reason => reason.includes('Too many')).length, 2)
  assert.equal(reasons.filter(reason => reason.includes('has ended')).length, 64)
})
