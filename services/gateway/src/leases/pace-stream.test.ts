import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { leaseIdOf } from '@sluice/contracts'
import { WaitingLine, Wallet } from '@sluice/leases'
import { LinearBound } from '../bounds/linear-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import type { LeaseClient } from './lease-client.ts'
import { Money } from './money.ts'
import { PaceStream } from './pace-stream.ts'
import { SpareMoney } from './spare-money.ts'
import type { LeaseDeps } from './take-money.ts'
import { speakerOf, TokenLengths } from './token-lengths.ts'

const inputTokens = 100
const outputTokens = 16_000
const trancheTokens = 1_024
const usage = () => ({ modifiers: {}, quantities: {}, provenance: {}, raw_usage: null })

/** A stream that holds all that it may say, or what it begins with, of a budget of tokens, which is all that there is. */
function runningStream(
  t: TestContext,
  {
    projectId = 'project',
    tokenLengths = new TokenLengths(),
    windowEndMs,
    beginsWith = outputTokens,
  }: { projectId?: string; tokenLengths?: TokenLengths; windowEndMs?: number; beginsWith?: number } = {},
) {
  const wallet = new Wallet({ gatewayId: 'gw', epoch: 1 })
  const spare = new SpareMoney()
  const line = new WaitingLine(wallet, { send: () => {} })
  const name = { budgetId: 'bud', copy: '', windowStartMs: 0, windowEndMs, home: 0, isConcurrent: false }
  const pool = wallet.pool(name)
  const all = inputTokens + beginsWith
  const needs = [{ pool, want: all, need: 1 }]
  wallet.ask(needs, Date.now())
  const seq = wallet.openAsks[0]?.message.seq ?? 0
  wallet.answer({ seq, term: 1, grants: [{ lease_id: leaseIdOf('gw', 1, seq, 0), amount: all, left: 0 }] }, Date.now())
  const client = { wallet, line, spare, send: () => {} } as Pick<LeaseClient, 'wallet' | 'line' | 'spare' | 'send'>
  const hold = wallet.hold('attempt', needs, Date.now())
  assert.ok(hold)
  const budgets = [{ budget: { budget_id: 'bud', unit: 'tokens', window: 'total' }, copy: '' } as MatchedBudget]
  const money = new Money(client, hold, budgets)
  const bound = new LinearBound({
    outputTokens,
    leastOutputTokens: 256,
    clamp: undefined,
    fixedTokens: inputTokens,
    fixedNanoUsd: 0,
    outputRate: 0,
    outputTimes: 1,
    requests: 1,
    tightness: 'loose',
    unboundedBy: undefined,
  })
  const pace = new PaceStream({ client, tokenLengths } as LeaseDeps, {
    attemptId: 'attempt',
    projectId,
    model: 'model',
    money,
    bound,
    outputTokens: beginsWith,
    isVisible: true,
    extend: () => true,
    secured: undefined,
  })
  pace.start(() => {})
  t.after(() => pace.stop())
  return {
    pace,
    wallet,
    tokenLengths,
    /** What it holds for its output, once others lack it. */
    keptFor: () => {
      spare.giveBack([pool])
      return money.heldOf(0) - inputTokens
    },
    spare: () => [...spare.byLease().values()].reduce((sum, amount) => sum + amount, 0),
  }
}

test('a stream gives back what it will not say soon, and keeps a tranche and a margin beyond what was seen of it', t => {
  const { pace, keptFor, spare } = runningStream(t)
  pace.seen(3 * 2_000, 500, usage)
  assert.equal(spare(), outputTokens - 3_524)
  assert.equal(keptFor(), 2_000 + 500 + trancheTokens)
})

test('a stream whose tokens are a byte long never gives back what it has used', t => {
  const { pace, keptFor } = runningStream(t)
  pace.seen(9_000, 9_000, usage)
  assert.ok(keptFor() >= 9_000 + trancheTokens)
  pace.seen(12_000, 12_000, usage)
  assert.ok(keptFor() >= 12_000 + trancheTokens)
})

const measured = { quantities: { out_text: 1_000 }, provenance: { out_text: 'measured' as const } }

test('a stream that outlives the window it was let in in is paid for out of that one', t => {
  t.mock.timers.enable({ apis: ['Date'], now: 10_000 })
  const { pace, wallet } = runningStream(t, { windowEndMs: 60_000, beginsWith: trancheTokens })
  t.mock.timers.tick(70_000)
  pace.seen(3 * trancheTokens, 500, usage)
  assert.deepEqual(
    wallet.openAsks.map(({ message }) => message.items),
    [
      [
        {
          budget_id: 'bud',
          copy: '',
          window_start_ms: 0,
          need: trancheTokens,
          want: trancheTokens,
          ahead: 0,
          late: true,
        },
      ],
    ],
  )
})

test('several short tokens to a piece are counted by what streams of the model have taught', t => {
  const { pace, keptFor, tokenLengths } = runningStream(t)
  pace.learn(1_000, { ...measured, provenance: { out_text: 'estimated' } })
  assert.equal(tokenLengths.tokensIn(3_000, speakerOf('project', 'model')), 1_000)
  for (let streams = 0; streams < 20; streams++) pace.learn(1_000, measured)
  pace.seen(6_000, 100, usage)
  assert.ok(keptFor() >= 6_000 + trancheTokens)
})

test('what the provider of one project tells of its tokens is nothing to the streams of another', t => {
  const { pace, tokenLengths } = runningStream(t)
  const other = runningStream(t, { projectId: 'other', tokenLengths })
  for (let streams = 0; streams < 20; streams++) pace.learn(1_000, measured)
  other.pace.seen(6_000, 100, usage)
  assert.equal(other.keptFor(), 2_000 + 500 + trancheTokens)
})

test('a stream whose reader is slow gives nothing back until it reads on', t => {
  const { pace, keptFor, spare } = runningStream(t)
  pace.seen(300, 100, usage)
  pace.pause()
  assert.deepEqual([spare(), keptFor()], [0, outputTokens])
  pace.resume()
  assert.ok(spare() > 0)
  assert.equal(keptFor(), 100 + 25 + trancheTokens)
})
