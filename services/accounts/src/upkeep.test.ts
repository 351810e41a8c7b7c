import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { eventually } from '@sluice/test-env'
import { startUpkeep } from './upkeep.ts'

test('a repair that fails after the bus was away is tried again until it goes through', async t => {
  let connected = true
  let fails = false
  let repairs = 0
  let failures = 0
  let asked = 0
  const upkeep = startUpkeep({
    repair: async () => {
      if (fails) {
        failures++
        throw new Error('the bucket is not there yet')
      }
      repairs++
      return { announced: 0, withdrawn: 0 }
    },
    sweep: async () => undefined,
    isConnected: () => {
      asked++
      return connected
    },
    log: createLogger('accounts', 'silent'),
    watchMs: 1,
  })
  t.after(() => upkeep.close())
  await eventually(() => upkeep.isRepaired())
  connected = false
  const before = asked
  await eventually(() => asked > before)
  fails = true
  connected = true
  await eventually(() => failures >= 2)
  assert.equal(repairs, 1)
  fails = false
  await eventually(() => repairs === 2)
  const settled = asked
  await eventually(() => asked > settled + 2)
  assert.equal(repairs, 2)
})
