import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeInReverse } from '@sluice/test-env'
import { borrowStack } from '../faults/shared-stack.ts'
import { playDemo } from './play-demo.ts'

test('the demo ends with numbers that add up: the bill within the budget, every call in the ledger once', async t => {
  const said: string[] = []
  const size = {
    limit: '0.05',
    gateways: 2,
    streams: 6,
    outputTokens: 1_000,
    killAfterMs: 2_000,
    downMs: 500,
    longestMs: 60_000,
  }
  const stack = await borrowStack()
  const isRight = await playDemo({ scope: closeInReverse(t), stack, size, say: line => said.push(line) })
  const text = said.join('\n')
  assert.ok(isRight, text)
  const amount = (name: string): number => {
    const [, found] = new RegExp(`^ {2}${name} +\\$([0-9.]+)`, 'm').exec(text) ?? []
    assert.ok(found, `${name}\n${text}`)
    return Number(found)
  }
  assert.ok(amount('the provider billed') > 0 && amount('the provider billed') <= amount('budget'), text)
  assert.equal(amount('the ledger'), amount("the budget's spent"), text)
  assert.match(text, /^ {2}lost +0 calls$/m)
  assert.match(text, /^ {2}counted twice +0 calls$/m)
  // A gateway was killed under its streams, and the money ended the rest.
  assert.match(text, /\d+ × broken with its gateway/)
  assert.match(text, /\d+ × (?:ended cleanly by the budget|refused for good)/)
})
