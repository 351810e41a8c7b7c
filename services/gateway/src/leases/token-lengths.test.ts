import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenLengths } from './token-lengths.ts'

test('streams of short tokens make the next of their model count more, at most one a byte, and longer ones slowly less again', () => {
  const lengths = new TokenLengths()
  const tokens = () => lengths.tokensIn(3_000, 'short')
  assert.equal(tokens(), 1_000)
  lengths.learn('short', 1_000, 1_000)
  assert.equal(tokens(), 1_500)
  for (let streams = 0; streams < 20; streams++) lengths.learn('short', 500, 1_000)
  assert.equal(tokens(), 3_000)
  assert.equal(lengths.tokensIn(3_000, 'other'), 1_000)
  lengths.learn('short', 4_000, 1_000)
  assert.equal(tokens(), Math.ceil(3_000_000 / 1_125))
  for (let streams = 0; streams < 200; streams++) lengths.learn('short', 4_000, 1_000)
  assert.equal(tokens(), 1_000)
})

test('a short answer, or one that says no text, teaches nothing; of thousands of models the last are kept', () => {
  const lengths = new TokenLengths()
  lengths.learn('model', 100, 199)
  lengths.learn('model', 0, 1_000)
  assert.equal(lengths.tokensIn(300, 'model'), 100)
  for (let model = 0; model <= 1_000; model++) lengths.learn(`model ${model}`, 1_000, 1_000)
  assert.deepEqual([lengths.tokensIn(300, 'model 0'), lengths.tokensIn(300, 'model 1000')], [100, 150])
})
