import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { UsageRecorded, type UsageRecordedData } from '@sluice/contracts'
import { findOvershoot, type Overshoot } from './overshoot.ts'

const kept = join(import.meta.dirname, '../../packages/contracts/fixtures/usage-recorded.v1.json')
const { held: _, leases: __, ...rest } = UsageRecorded.decode(readFileSync(kept, 'utf8'))

/** A call that had held 5 of a seat's money, as its event says so: in short or in full. */
const inShort = { leases: [], held: [], drawn: [[['bud_1', 'mem_01', 0], 5, [['1-0', 9, 9]]]] }
const inFull = {
  leases: [['gw_0011-3-1-0', 9]],
  held: [{ budget_id: 'bud_1', copy: 'mem_01', window_start_ms: 0, amount: 5 }],
}
const unheld = { leases: [], held: [] }

/** A seat with a limit of 5 that one call of 9 has used. */
function overshootOf(money: object, status: UsageRecordedData['status']): Overshoot {
  const event = UsageRecorded.check({ ...rest, ...money, status, cost_nano_usd: 9 })
  const copies = new Map([['mem_01', { settled: 9, unresolved: 0 }]])
  return findOvershoot({ budgetId: 'bud_1', limit: 5, copies, events: [event], bill: new Map() })
}

test('a call that used more than was held for it excuses no limit, unless it was cut for that', () => {
  for (const money of [inShort, inFull]) {
    const completed = overshootOf(money, 'completed')
    assert.deepEqual(completed.causes, { 'no hold': 0, 'cut too late': 0, 'above its bound': 4 })
    assert.equal(completed.unexplained.length, 1)
    const cut = overshootOf(money, 'cut')
    assert.deepEqual(cut.causes, { 'no hold': 0, 'cut too late': 4, 'above its bound': 0 })
    assert.deepEqual(cut.unexplained, [])
  }
  const unnamed = overshootOf(unheld, 'completed')
  assert.deepEqual(unnamed.causes, { 'no hold': 9, 'cut too late': 0, 'above its bound': 0 })
})
