import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { eventually } from '@sluice/test-env'
import { startSweeps } from './sweep-homes.ts'

const homes = [1, 2, 3].map(home => ({ home, term: 1 }))
const nothing = { silent: 0, expired: 0, copies: [] }

test('all homes are asked about at once, and only those are swept that have something to sweep', async t => {
  const asked: (readonly number[])[] = []
  const swept: string[] = []
  let measured = 0
  const sweeps = startSweeps({
    owned: () => homes,
    findDue: async numbers => {
      asked.push(numbers)
      return { silent: new Set([1]), unresolved: new Set([3]) }
    },
    sweepSilent: async ({ home }) => {
      swept.push(`silent ${home}`)
      return nothing
    },
    expireUnresolved: async ({ home }) => {
      swept.push(`unresolved ${home}`)
      return nothing
    },
    onSwept: () => {},
    measure: async () => {
      measured++
    },
    silentMs: 0,
    unresolvedMs: 1_000,
    intervalMs: 5,
    log: createLogger('budget', 'silent'),
  })
  t.after(sweeps.close)
  await eventually(() => measured > 0)
  await sweeps.close()
  assert.deepEqual(asked[0], [1, 2, 3])
  assert.deepEqual(
    swept,
    asked.flatMap(() => ['silent 1', 'unresolved 3']),
  )
})

test('gateways that a home could not hear before are not taken for silent yet', async t => {
  const swept: string[] = []
  let measured = 0
  const sweeps = startSweeps({
    owned: () => homes,
    findDue: async () => ({ silent: new Set([1, 2, 3]), unresolved: new Set() }),
    sweepSilent: async ({ home }) => {
      swept.push(`silent ${home}`)
      return nothing
    },
    expireUnresolved: async () => nothing,
    onSwept: () => {},
    measure: async () => {
      measured++
    },
    silentMs: 60_000,
    unresolvedMs: 1_000,
    intervalMs: 5,
    log: createLogger('budget', 'silent'),
  })
  t.after(sweeps.close)
  await eventually(() => measured > 0)
  await sweeps.close()
  assert.deepEqual(swept, [])
})

test('gateways that a service could not hear, paused or without its database, are not taken for silent yet', async t => {
  const minuteMs = 60_000
  const intervalMs = 5_000
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: minuteMs })
  let swept = 0
  const sweeps = startSweeps({
    owned: () => homes,
    findDue: async () => ({ silent: new Set([1]), unresolved: new Set() }),
    sweepSilent: async () => {
      swept++
      return nothing
    },
    expireUnresolved: async () => nothing,
    onSwept: () => {},
    measure: async () => {},
    silentMs: 15 * minuteMs,
    unresolvedMs: 60 * minuteMs,
    intervalMs,
    log: createLogger('budget', 'silent'),
  })
  t.after(sweeps.close)
  /** Sweeps that begin behind so much time, of which the first alone runs. @returns how often homes were swept */
  const after = async (ms: number) => {
    const before = swept
    t.mock.timers.tick(ms)
    await new Promise(setImmediate)
    return swept - before
  }
  await after(intervalMs)
  assert.equal(await after(intervalMs), 0)
  await after(minuteMs)
  assert.equal(await after(intervalMs), 1)
  await after(20 * minuteMs)
  assert.equal(await after(intervalMs), 0, 'none was heard meanwhile')
  await after(minuteMs)
  assert.equal(await after(intervalMs), 1)
})
