import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LeaseAnswer, LeaseHeartbeat } from '@sluice/contracts'
import { createLogger } from '@sluice/runtime'
import { LeaseClient } from './lease-client.ts'
import type { LeasePublisher } from './lease-publisher.ts'

/** A home that answers at once. */
function homeOf(about: { clockMs?: () => number; refusal?: LeaseAnswer['refusal']; isRecovering?: boolean }) {
  const beats: LeaseHeartbeat[] = []
  const heard: string[] = []
  const receipt = () => ({
    term: 1,
    at_ms: about.clockMs?.() ?? Date.now(),
    unknown: [],
    fenced: false,
    ...(about.isRecovering && { recovering: true as const }),
  })
  const publisher: LeasePublisher = {
    ask: async (_home, { seq, items }) => ({
      seq,
      term: 1,
      grants: about.refusal ? [] : items.map((_, at) => ({ lease_id: `gw-1-${seq}-${at}`, amount: 100, left: 0 })),
      ...(about.refusal && { refusal: about.refusal }),
    }),
    report: async (home, { gateway_id, leases }) => {
      heard.push(`${gateway_id} to ${home}: ${leases.map(({ granted, done }) => `${granted} ${done}`)}`)
      return receipt()
    },
    heartbeat: async (_home, beat) => {
      beats.push(beat)
      if (beat.whole) heard.push(beat.whole.holders ? 'whole, with holders' : 'whole')
      return receipt()
    },
    hello: async () => receipt(),
    onRecall: () => ({ close: async () => {} }),
  }
  const client = new LeaseClient({
    publisher,
    gatewayId: 'gw',
    epoch: 1,
    synced: async () => {},
    nextOf: () => undefined,
    log: createLogger('test', 'silent'),
    onFenced: () => assert.fail('fenced'),
  })
  const ask = () => {
    const named = { budgetId: 'bud_1', copy: '', windowStartMs: 0, windowEndMs: undefined, home: 0 }
    const pool = client.wallet.pool({ ...named, isConcurrent: false })
    const { asks } = client.wallet.ask([{ pool, want: 1, need: 1 }], Date.now())
    assert.equal(asks.length, 1)
    for (const each of asks) client.send(each)
  }
  return { client, beats, heard, ask }
}

test('how far the clock is off is known from heartbeats, and nothing before the first', async t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 })
  const { client, beats, ask } = homeOf({ clockMs: () => Date.now() + 7_000 })
  assert.equal(client.clockOffMs(Date.now()), 0)
  ask()
  t.mock.timers.tick(1_000)
  while (client.clockOffMs(Date.now()) === 0) await new Promise(setImmediate)
  assert.equal(client.clockOffMs(Date.now()), 7_000)
  assert.equal(client.clockOffMs(Date.now() + 60_000), 0)
  assert.ok(beats.length > 0)
  await client.close()
})

test('a home that has lost its memory is told at once, once a second, what this gateway has', async t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 })
  const pool = { budget_id: 'bud_1', copy: '', window_start_ms: 0 }
  const refusal = {
    reason: 'recovering' as const,
    ...pool,
    limit: 1,
    spent: 0,
    held: 0,
    need: 1,
    retry_after_ms: 1_000,
  }
  const { client, beats, ask } = homeOf({ refusal })
  ask()
  t.mock.timers.tick(100)
  await new Promise(setImmediate)
  const wholes = () => beats.filter(({ whole }) => whole).length
  const before = wholes()
  t.mock.timers.tick(1_000)
  for (let times = 0; times < 3; times++) ask()
  await new Promise(setImmediate)
  assert.equal(wholes(), before + 1)
  await client.close()
})

test('a home that has lost its memory is told of what batches and responses have, each once, before it is told of all', async t => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 })
  const home = { isRecovering: false }
  const { client, heard, ask } = homeOf(home)
  const at = (number: number, granted: number) => ({
    lease_id: `e-${number}-0`,
    home: number,
    budget_id: 'bud_1',
    copy: '',
    window_start_ms: 0,
    unit: 'usd' as const,
    granted,
  })
  const beat = async () => {
    heard.length = 0
    t.mock.timers.tick(1_000)
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
    return [...heard]
  }
  ask()
  await beat()
  home.isRecovering = true
  // Before it is known who has anything, a list says nothing of them.
  assert.deepEqual(await beat(), ['whole'])
  const running = [{ holder: 'batch_e', leases: [at(0, 60), at(1, 5)] }]
  client.tellOf(() => running)
  assert.deepEqual(await beat(), ['batch_e to 0: 60 false', 'whole, with holders'])
  running.push({ holder: 'background_f', leases: [at(0, 7)] })
  assert.deepEqual(await beat(), ['background_f to 0: 7 false', 'whole, with holders'])
  home.isRecovering = false
  await beat()
  home.isRecovering = true
  assert.deepEqual(await beat(), ['batch_e to 0: 60 false', 'background_f to 0: 7 false', 'whole, with holders'])
  await client.close()
})
