import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leaseIdOf } from '@sluice/contracts'
import fc from 'fast-check'
import { drawnIn, type Hold, type PoolName, PoolSet, Wallet } from './index.ts'

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
  const grant = (amount: number, atMs: number, left = 1_000) => {
    for (const { message } of wallet.openAsks) {
      const { seq, items } = message
      const grants = items.map((_, at) => ({ lease_id: leaseIdOf('gw', 1, seq, at), amount, left }))
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

test('what a running attempt gives back is free at once, is told as idle before, and never what it still needs', () => {
  const { wallet, grant } = newWallet()
  const pool = wallet.pool(minuteOf('bud_1', 0))
  const other = wallet.pool(minuteOf('bud_2', 0))
  for (const each of [pool, other]) wallet.ask([{ pool: each, want: 60, need: 60 }], 1_000)
  grant(60, 1_000)
  wallet.ask([{ pool, want: 100, need: 100 }], 1_000)
  grant(40, 1_000)
  const needs = [
    { pool, want: 100, need: 100 },
    { pool: other, want: 50, need: 50 },
  ]
  const hold = wallet.hold('att_1', needs, 1_000)
  const [item] = hold?.items ?? []
  assert.ok(hold && item)
  const idle = (spare?: Parameters<typeof wallet.heartbeats>[2]) =>
    wallet.heartbeats(1_000, false, spare).flatMap(({ messages }) => messages.flatMap(message => message.idle))
  assert.deepEqual(idle(), [['gw-1-2-0', 10]])
  const [, last] = item.parts
  assert.ok(last)
  assert.deepEqual(idle(new Map([[last.lease, 40]])), [
    ['gw-1-2-0', 10],
    ['gw-1-3-0', 40],
  ])
  wallet.lower(item, 30)
  assert.deepEqual([pool.free, other.free, item.amount], [70, 10, 30])
  wallet.lower(item, 50)
  assert.equal(item.amount, 30)
  wallet.recall(['gw-1-1-0', 'gw-1-3-0'])
  assert.equal(pool.free, 0)
  wallet.settle(hold, [25, 50], false)
  assert.deepEqual([pool.free, other.free], [5, 10])
})

test('a heartbeat says what has changed since one that was answered, a whole one says all', () => {
  const { wallet, grant } = newWallet()
  const pools = ['bud_1', 'bud_2'].map(id => wallet.pool(minuteOf(id, 0)))
  for (const pool of pools) wallet.ask([{ pool, want: 10, need: 10 }], 1_000)
  grant(10, 1_000)
  const receipt = { term: 1, at_ms: 0, unknown: [], fenced: false }
  const beat = (atMs: number, isWhole = false) => {
    const [
      {
        messages: [message],
      } = { messages: [] },
    ] = wallet.heartbeats(atMs, isWhole)
    return { idle: message?.idle.map(([id]) => id), busy: message?.busy }
  }
  const both = ['gw-1-1-0', 'gw-1-2-0']
  assert.deepEqual(beat(1_000), { idle: both, busy: [] })
  assert.deepEqual(beat(2_000), { idle: both, busy: [] }, 'nobody has answered')
  wallet.renewed(0, 1_000, receipt)
  assert.deepEqual(beat(3_000), { idle: both, busy: [] }, 'that was the one before')
  wallet.renewed(0, 3_000, receipt)
  assert.deepEqual(beat(4_000), { idle: [], busy: [] })
  const [pool] = pools
  assert.ok(pool && wallet.hold('att_1', [{ pool, want: 10, need: 10 }], 4_000))
  assert.deepEqual(beat(5_000), { idle: [], busy: ['gw-1-1-0'] })
  wallet.renewed(0, 5_000, receipt)
  assert.deepEqual(beat(6_000, true), { idle: ['gw-1-2-0'], busy: undefined })
})

test('a call that has given back all that it held keeps its lease open: what it has used all the same is settled there', () => {
  const { wallet, grant } = newWallet()
  const pool = wallet.pool(minuteOf('bud_a', 0))
  const needs = [{ pool, want: 10, need: 10 }]
  wallet.ask(needs, 50_000)
  grant(10, 50_000)
  const hold = wallet.hold('att_1', needs, 50_000)
  assert.ok(hold?.items[0])
  wallet.lower(hold.items[0], 0)
  assert.equal(pool.free, 9)
  wallet.recall(wallet.totals().map(({ lease_id }) => lease_id))
  assert.deepEqual(
    wallet.totals().map(({ returned_total, done }) => [returned_total, done]),
    [[9, false]],
  )
  wallet.settle(hold, [7], false)
  assert.deepEqual(
    wallet.totals().map(({ settled_total, done }) => [settled_total, done]),
    [[7, true]],
  )
})

test('what is idle is kept for five times the usual time between calls, five minutes where that is not known, and never above ten', () => {
  const keptMs = (gapMs: number | undefined) => {
    const { wallet, grant } = newWallet()
    const pool = wallet.pool({ ...minuteOf('bud_a', 0), windowEndMs: undefined })
    const needs = [{ pool, want: 10, need: 10 }]
    let nowMs = 1
    wallet.ask(needs, nowMs)
    wallet.returnIdle(nowMs)
    grant(40, nowMs)
    for (let uses = gapMs === undefined ? 1 : 3; uses > 0; uses--) {
      wallet.renewed(0, nowMs, receipt)
      const hold = wallet.hold('att_1', needs, nowMs)
      assert.ok(hold)
      wallet.settle(hold, [1], false)
      if (uses > 1) nowMs += gapMs ?? 0
    }
    for (let idleMs = 1_000; ; idleMs += 1_000) {
      wallet.returnIdle(nowMs + idleMs)
      if (pool.free === 0) return idleMs - 1_000
    }
  }
  assert.deepEqual([undefined, 0, 1_000, 30_000, 300_000].map(keptMs), [300_000, 60_000, 60_000, 150_000, 600_000])
})

const ttlMs = 60_000
const receipt = { term: 1, at_ms: 0, unknown: [], fenced: false }

test('past its ttl a lease gives to what holds some of it already, and to nothing else', () => {
  const { wallet, grant } = newWallet()
  const pool = wallet.pool({ ...minuteOf('bud_a', 0), windowEndMs: undefined })
  const needs = (want: number) => [{ pool, want, need: want }]
  for (const amount of [10, 20]) {
    wallet.ask(needs(100), 0)
    grant(amount, 0)
  }
  const hold = wallet.hold('att_1', needs(6), 0)
  assert.ok(hold)
  const { free } = pool
  assert.equal(wallet.hold('att_2', needs(1), ttlMs), undefined)
  assert.equal(wallet.hold('att_2', needs(1), ttlMs, true), undefined, 'not for who has waited longest either')
  assert.equal(wallet.extend('att_1', [hold], needs(5), ttlMs), undefined, 'its lease has 4')
  const more = wallet.extend('att_1', [hold], needs(4), ttlMs)
  assert.deepEqual([more?.items[0]?.parts[0]?.lease, pool.free], [hold.items[0]?.parts[0]?.lease, free - 4])
  wallet.renewed(0, 1, receipt)
  assert.ok(wallet.extend('att_1', [hold], needs(5), ttlMs))
  assert.ok(wallet.hold('att_2', needs(1), ttlMs))
})

test('a lease that was called back ends with the ttl that it had then, whatever its home answers', () => {
  const { wallet, grant } = newWallet()
  const pool = wallet.pool({ ...minuteOf('bud_a', 0), windowEndMs: undefined })
  const needs = (want: number) => [{ pool, want, need: want }]
  wallet.ask(needs(10), 0)
  grant(10, 0)
  const hold = wallet.hold('att_1', needs(8), 0)
  assert.ok(hold)
  wallet.recall(wallet.totals().map(({ lease_id }) => lease_id))
  wallet.renewed(0, 50_000, receipt)
  wallet.settle(hold, [1], false)
  const again = wallet.hold('att_2', needs(3), ttlMs - 1)
  assert.ok(again)
  assert.equal(wallet.hold('att_3', needs(1), ttlMs), undefined)
  assert.deepEqual(
    wallet.totals().map(({ settled_total, returned_total, done }) => [settled_total, returned_total, done]),
    [[1, 6, false]],
  )
  wallet.settle(again, [0], false)
  assert.equal(wallet.hold('att_4', needs(1), ttlMs), undefined, 'what comes free of it later goes back, too')
  assert.deepEqual([pool.free, wallet.totals().map(({ done }) => done)], [0, [true]])
})

test('in any order of messages and calls nothing is held of a lease past its ttl', () => {
  const act = fc.oneof(
    fc.record({ act: fc.constant('grant' as const), pool: fc.nat(1), amount: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ act: fc.constant('beat' as const), isAnswered: fc.boolean() }),
    fc.record({ act: fc.constant('recall' as const), at: fc.nat(9) }),
    fc.record({ act: fc.constant('hold' as const), wants: fc.tuple(fc.nat(10), fc.nat(10)), first: fc.boolean() }),
    fc.record({ act: fc.constant('extend' as const), at: fc.nat(9), wants: fc.tuple(fc.nat(10), fc.nat(10)) }),
    fc.record({ act: fc.constant('settle' as const), at: fc.nat(9) }),
    fc.record({ act: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 70_000 }) }),
  )
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), acts => {
      const { wallet, grant } = newWallet()
      const pools = [0, 1].map(home => wallet.pool({ ...minuteOf(`bud_${home}`, 0), windowEndMs: undefined, home }))
      // Kept by what was sent and answered alone.
      const heardMs = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
      const endsMs = new Map<string, number>()
      const running: Hold[][] = []
      let nowMs = 0
      const endOf = (leaseId: string, home: number) =>
        Math.min((heardMs[home] ?? 0) + ttlMs, endsMs.get(leaseId) ?? Number.POSITIVE_INFINITY)
      const requireLasting = ({ items }: Hold, own: ReadonlySet<string>) => {
        for (const { pool, parts } of items)
          for (const { lease } of parts)
            if (!own.has(lease.leaseId)) assert.ok(nowMs < endOf(lease.leaseId, pool.home), lease.leaseId)
      }
      const needsOf = (wants: readonly number[]) =>
        pools.map((pool, at) => ({ pool, want: wants[at] ?? 0, need: wants[at] ?? 0 }))
      for (const each of acts)
        switch (each.act) {
          case 'grant': {
            const pool = pools[each.pool]
            assert.ok(pool)
            if (wallet.ask([{ pool, want: 1_000, need: 1 }], nowMs).busy.length > 0) break
            grant(each.amount, nowMs)
            heardMs[each.pool] = nowMs
            break
          }
          case 'beat':
            for (const { home } of wallet.heartbeats(nowMs, false)) {
              if (!each.isAnswered) continue
              wallet.renewed(home, nowMs, receipt)
              heardMs[home] = nowMs
            }
            break
          case 'recall': {
            const totals = wallet.totals()[each.at]
            if (!totals) break
            const home = Number(totals.budget_id.at(-1))
            endsMs.set(totals.lease_id, endOf(totals.lease_id, home))
            wallet.recall([totals.lease_id])
            break
          }
          case 'hold': {
            const hold = wallet.hold('att', needsOf(each.wants), nowMs, each.first)
            if (!hold) break
            requireLasting(hold, new Set())
            running.push([hold])
            break
          }
          case 'extend': {
            const held = running[each.at]
            if (!held) break
            const own = new Set(
              held.flatMap(({ items }) => items.flatMap(({ parts }) => parts.map(p => p.lease.leaseId))),
            )
            const more = wallet.extend('att', held, needsOf(each.wants), nowMs)
            if (!more) break
            requireLasting(more, own)
            held.push(more)
            break
          }
          case 'settle':
            for (const hold of running.splice(each.at, 1).flat()) wallet.settle(hold, [1, 1], false)
            break
          case 'pass':
            nowMs += each.ms
        }
    }),
    { numRuns: 300 },
  )
})

test('what is held of the oldest lease of each pool is held, changed and settled as what is looked for in all of them', () => {
  const wants = fc.tuple(fc.nat(10), fc.integer({ min: 1, max: 10 }))
  const act = fc.oneof(
    fc.record({ act: fc.constant('grant' as const), amount: fc.integer({ min: 5, max: 60 }) }),
    fc.record({ act: fc.constant('hold' as const), wants }),
    fc.record({ act: fc.constant('hold' as const), wants }),
    fc.record({ act: fc.constant('lower' as const), at: fc.nat(5), to: fc.nat(8) }),
    fc.record({ act: fc.constant('extend' as const), at: fc.nat(5), wants }),
    fc.record({
      act: fc.constant('settle' as const),
      at: fc.nat(5),
      used: wants,
      isUnresolved: fc.boolean(),
      holder: fc.option(fc.constant('batch'), { nil: undefined }),
    }),
    fc.record({ act: fc.constant('recall' as const), at: fc.nat(5) }),
    fc.record({ act: fc.constant('pass' as const), ms: fc.constantFrom(1, 1_000, 40_000) }),
  )
  let fromOldest = 0
  type Act = typeof act extends fc.Arbitrary<infer Each> ? Each : never
  const run = (acts: readonly Act[], isOfOldest: boolean) => {
    const { wallet, grant } = newWallet()
    const slots = { ...minuteOf('bud_1', 0), isConcurrent: true }
    const pools = [wallet.pool({ ...minuteOf('bud_0', 0), windowEndMs: undefined }), wallet.pool(slots)]
    const set = new PoolSet(pools)
    const needsOf = (amounts: readonly number[]) =>
      pools.map((pool, at) => ({ pool, want: amounts[at] ?? 0, need: amounts[at] ?? 0 }))
    const running: Hold[] = []
    const seen: unknown[] = []
    let nowMs = 1
    for (const [turn, each] of acts.entries()) {
      const hold = 'at' in each ? running[each.at] : undefined
      switch (each.act) {
        case 'grant':
          wallet.ask(needsOf([1_000, 1_000]), nowMs)
          grant(each.amount, nowMs)
          break
        case 'hold': {
          const oldest = isOfOldest ? wallet.holdOfOldest(`att_${turn}`, set, each.wants, nowMs) : undefined
          if (oldest) fromOldest++
          const held = oldest ?? wallet.hold(`att_${turn}`, needsOf(each.wants), nowMs)
          if (held) running.push(held)
          seen.push(held !== undefined)
          break
        }
        case 'lower':
          if (hold?.items[0]) wallet.lower(hold.items[0], each.to)
          break
        case 'extend': {
          const more = hold && wallet.extend(`${hold.attemptId}_more`, [hold], needsOf(each.wants), nowMs)
          if (more) running.push(more)
          break
        }
        case 'settle':
          if (hold) {
            const { row, ...settled } = wallet.settle(hold, each.used, each.isUnresolved, each.holder)
            seen.push({ ...settled, drawn: drawnIn({ ...settled, row }) })
          }
          running.splice(each.at, 1)
          break
        case 'recall':
          wallet.recall([wallet.totals()[each.at]?.lease_id ?? ''])
          break
        case 'pass':
          nowMs += each.ms
      }
      seen.push(
        wallet.totals(),
        pools.map(({ free, lastWant, gapMs }) => [free, lastWant, gapMs]),
      )
    }
    seen.push(running.map(({ items }) => items.map(({ amount, parts }) => [amount, parts.map(part => part.amount)])))
    return seen
  }
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), acts => assert.deepEqual(run(acts, true), run(acts, false))),
    { numRuns: 500 },
  )
  assert.ok(fromOldest > 100, String(fromOldest))
})

test('of a pool that many calls take from, more is asked for while what is here covers the way to its home and back', () => {
  const { wallet, grant } = newWallet()
  const pool = wallet.pool({ ...minuteOf('bud_a', 0), windowEndMs: undefined })
  const needs = [{ pool, want: 10, need: 10 }]
  /** @returns how much was left when more was asked for */
  const spendUntilAsked = (fromMs: number, roundTripMs: number): number => {
    wallet.ask([{ pool, want: 10_000, need: 10 }], fromMs)
    grant(10_000, fromMs + roundTripMs, 10_000_000)
    for (let nowMs = fromMs + roundTripMs; ; nowMs += 100) {
      wallet.renewed(0, nowMs, receipt)
      const hold = wallet.hold('att_1', needs, nowMs)
      assert.ok(hold)
      wallet.settle(hold, [10], false)
      if (wallet.askAhead([pool], nowMs).length === 0) continue
      const { free } = pool
      grant(0, nowMs + roundTripMs, 10_000_000)
      for (const lease of wallet.totals()) wallet.recall([lease.lease_id])
      return free
    }
  }
  assert.ok(spendUntilAsked(0, 0) < 10)
  // A hundred a second: of a way that takes so long, there and back, and once more.
  assert.ok(spendUntilAsked(1_000_000, 3_000) > 50)
  for (let times = 2; times < 30; times++) spendUntilAsked(times * 1_000_000, 3_000)
  const left = spendUntilAsked(40_000_000, 3_000)
  assert.ok(left > 500 && left < 700, String(left))
})

test('pools of one home are asked for together', () => {
  const { wallet, grant } = newWallet()
  const pools = ['bud_a', 'bud_b'].map(name => wallet.pool({ ...minuteOf(name, 0), windowEndMs: undefined }))
  for (const pool of pools) {
    wallet.ask([{ pool, want: 10, need: 10 }], 0)
    grant(10, 0)
  }
  const hold = wallet.hold(
    'att_1',
    pools.map(pool => ({ pool, want: 10, need: 10 })),
    0,
  )
  assert.ok(hold)
  const asks = wallet.askAhead(pools, 0)
  assert.deepEqual(
    asks.map(({ message }) => message.items.map(item => item.budget_id)),
    [['bud_a', 'bud_b']],
  )
  assert.deepEqual(wallet.askAhead(pools, 0), [], 'it is under way')
})

test('of what is used seldom, no more is asked for ahead than stays until the next call', () => {
  const { wallet, grant } = newWallet()
  const pool = wallet.pool({ ...minuteOf('bud_a', 0), windowEndMs: undefined })
  const needs = [{ pool, want: 100, need: 100 }]
  const call = (nowMs: number, left: number) => {
    const ahead = wallet.ask(needs, nowMs).asks[0]?.message.items[0]?.ahead
    grant(100, nowMs, left)
    const hold = wallet.hold('att_1', needs, nowMs)
    assert.ok(hold)
    wallet.settle(hold, [100], false)
    const more = wallet.askAhead([pool], nowMs).flatMap(({ message }) => message.items.map(item => item.ahead))
    if (more.length > 0) grant(0, nowMs, left)
    return [ahead, more[0]]
  }
  assert.deepEqual(call(0, 10_000), [200, 200], 'who knows')
  // Twice a minute: of what is left a twentieth stays.
  assert.deepEqual(call(30_000, 10_000), [200, 200])
  assert.deepEqual(call(60_000, 1_000), [200, undefined])
  assert.deepEqual(call(90_000, 1_000), [50, undefined])
})
