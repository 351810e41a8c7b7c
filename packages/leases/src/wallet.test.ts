import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leaseIdOf } from '@sluice/contracts'
import { type PoolName, Wallet } from './index.ts'

const minuteMs = 60_000

function minuteOf(budgetId: string, windowStartMs: number): PoolName {
  const windowEndMs = windowStartMs + minuteMs
  return { budgetId, copy: '', windowStartMs, windowEndMs, home: 0, isConcurrent: false }
}

function newWallet() {
  const wallet = new Wallet({
    gatewayId: 'gw',
    epoch: 1,
    nextOf: ({ budgetId, windowEndMs }) => (windowEndMs === undefined ? undefined : minuteOf(budgetId, windowEndMs)),
  })
  const grant = (amount: number, atMs: number) => {
    for (const { message } of wallet.openAsks) {
      const { seq, items } = message
      const grants = items.map((_, at) => ({ lease_id: leaseIdOf('gw', 1, seq, at), amount, left: 1_000 }))
      wallet.answer({ seq, term: 1, grants }, atMs)
    }
  }
  return { wallet, grant }
}

test('a window that begins soon is asked for once, for pools that were used lately, and its first call finds money', () => {
  const { wallet, grant } = newWallet()
  const used = wallet.pool(minuteOf('bud_used', 0))
  const unused = wallet.pool(minuteOf('bud_unused', 0))
  wallet.ask([{ pool: used, want: 10, need: 10 }], 50_000)
  wallet.ask([{ pool: unused, want: 10, need: 10 }], 50_000)
  grant(10, 50_000)
  assert.ok(wallet.hold('att_1', [{ pool: used, want: 10, need: 10 }], 50_000))
  assert.deepEqual(wallet.askNextWindows(55_000), [])
  const [ask] = wallet.askNextWindows(56_000)
  assert.deepEqual(ask?.message.items, [
    { budget_id: 'bud_used', copy: '', window_start_ms: minuteMs, need: 0, want: 10, ahead: 20 },
  ])
  assert.deepEqual(wallet.askNextWindows(57_000), [])
  grant(30, 57_000)
  const next = wallet.pool(minuteOf('bud_used', minuteMs))
  assert.ok(wallet.hold('att_2', [{ pool: next, want: 30, need: 30 }], minuteMs))
})

test('windows of many pools are asked for in few asks', () => {
  const { wallet, grant } = newWallet()
  for (let at = 0; at < 100; at++) {
    const needs = [{ pool: wallet.pool(minuteOf(`bud_${at}`, 0)), want: 1, need: 1 }]
    wallet.ask(needs, 50_000)
    grant(1, 50_000)
    wallet.hold(`att_${at}`, needs, 50_000)
  }
  assert.deepEqual(
    wallet.askNextWindows(58_000).map(({ message }) => message.items.length),
    [32, 32, 32, 4],
  )
})

test('windows ahead leave room for what calls ask', () => {
  const { wallet, grant } = newWallet()
  for (let at = 0; at < 600; at++) {
    const needs = [{ pool: wallet.pool(minuteOf(`bud_${at}`, 0)), want: 1, need: 1 }]
    wallet.ask(needs, 50_000)
    grant(1, 50_000)
    wallet.hold(`att_${at}`, needs, 50_000)
  }
  assert.equal(wallet.askNextWindows(57_000).length, 8)
  assert.deepEqual(wallet.askNextWindows(58_000), [])
  grant(1, 58_500)
  assert.equal(wallet.askNextWindows(59_000).length, 8)
})

test('a whole list that is too long for one message says that more comes, and ends with the last', () => {
  const { wallet, grant } = newWallet()
  for (let at = 0; at < 5_500; at += 50) {
    const needs = Array.from({ length: 50 }, (_, pool) => ({
      pool: wallet.pool(minuteOf(`bud_${at + pool}`, 0)),
      want: 1,
      need: 1,
    }))
    wallet.ask(needs, 1_000)
    grant(1, 1_000)
  }
  const [beat] = wallet.heartbeats(2_000, true)
  const wholes = beat?.messages.map(({ whole }) => [
    whole?.from_seq,
    whole?.below_seq,
    whole?.lease_ids.length,
    whole?.more,
  ])
  assert.deepEqual(wholes, [
    [1, 101, 5_000, true],
    [101, 111, 500, undefined],
  ])
})
