import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { retryDelayMs } from './retry-delay.ts'
import { defaultThresholds, mostThresholds, orderThresholds, passedThresholds, thresholdsToTell } from './threshold.ts'

const thresholds = fc
  .uniqueArray(fc.integer({ min: 1, max: 1_000 }), { maxLength: mostThresholds })
  .map(orderThresholds)
const amount = fc.bigInt({ min: 1n, max: 10n ** 15n })

test('whatever comes in whatever parts, each threshold that the sum has reached is told once, and no other', () => {
  fc.assert(
    fc.property(
      thresholds,
      amount,
      fc.array(fc.bigInt({ min: 0n, max: 10n ** 14n }), { maxLength: 30 }),
      (all, limit, parts) => {
        let spent = 0n
        const told: number[] = []
        for (const part of parts) {
          const spentBefore = spent
          spent += part
          told.push(...thresholdsToTell(all, { spent, spentBefore, limit }))
        }
        assert.deepEqual(told, passedThresholds(all, spent, limit))
      },
    ),
  )
})

test('with limits that go up and down, and corrections, written-down thresholds are told once each, and none that was never reached', () => {
  const change = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), by: fc.bigInt({ min: -(10n ** 14n), max: 10n ** 14n }) }),
    fc.record({ kind: fc.constant('limit' as const), limit: amount }),
  )
  fc.assert(
    fc.property(thresholds, amount, fc.array(change, { maxLength: 40 }), (all, firstLimit, changes) => {
      let spent = 0n
      let limit = firstLimit
      const written = new Set<number>()
      const everReached = new Set<number>()
      for (const one of changes) {
        const spentBefore = one.kind === 'add' ? spent : undefined
        if (one.kind === 'add') spent += one.by
        else limit = one.limit
        for (const reached of all) if (spent > 0n && spent * 100n >= limit * BigInt(reached)) everReached.add(reached)
        for (const told of thresholdsToTell(all, { spent, spentBefore, limit })) written.add(told)
      }
      // The set is the table, which takes each once: what is left is that nothing is missing in it, and nothing too much.
      assert.deepEqual([...written].sort(), [...everReached].sort())
    }),
  )
})

test('a share is reached with the last nano-dollar of it', () => {
  for (const [spent, limit, passed] of [
    [0n, 100n, []],
    [79n, 100n, []],
    [80n, 100n, [80]],
    [99n, 100n, [80]],
    [100n, 100n, [80, 100]],
    [800_000_000n, 1_000_000_001n, []],
    [1_000n, 100n, [80, 100, 1_000]],
    [-5n, 100n, []],
    [0n, 0n, []],
  ] as const)
    assert.deepEqual(passedThresholds([80, 100, 1_000], spent, limit), passed, `${spent} of ${limit}`)
})

test('budgets of many copies tell of their end alone, rate limits of nothing', () => {
  const day = { unit: 'usd', window: 'day', mode: 'hard' } as const
  assert.deepEqual(defaultThresholds(day), [80, 100])
  assert.deepEqual(defaultThresholds({ ...day, mode: 'alert' }), [50, 80, 100])
  assert.deepEqual(defaultThresholds({ ...day, per: 'member' }), [100])
  assert.deepEqual(defaultThresholds({ ...day, window: 'minute' }), [])
  assert.deepEqual(defaultThresholds({ unit: 'concurrent', window: 'total', mode: 'hard' }), [])
})

test('what cannot be delivered is tried again with growing pauses for about a day', () => {
  const delays: number[] = []
  for (let attempts = 1; ; attempts++) {
    const delay = retryDelayMs(attempts)
    if (delay === undefined) break
    delays.push(delay)
  }
  assert.deepEqual(
    delays,
    [...delays].sort((a, b) => a - b),
  )
  const hours = delays.reduce((sum, delay) => sum + delay, 0) / 3_600_000
  assert.ok(hours > 23 && hours < 25, `${hours} h`)
})
