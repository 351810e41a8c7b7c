import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { heldMoneyOf, leaseTotalsOf, settledLeasesOf } from './drawn-money.ts'
import { UsageRecorded } from './usage-recorded.ts'

const keptExample = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', `${name}.json`), 'utf8'))
const kept = keptExample('usage-recorded.v1')

test('what an event says of money is read alike, in short and in full', () => {
  const full = UsageRecorded.check({
    ...kept,
    leases: [
      ['gw_0011-3-37-0', 5],
      ['gw_0011-3-37-1', 0],
      ['gw_0022-3-1-0', 2],
    ],
    lease_totals: [
      ['gw_0011-3-37-0', 50],
      ['gw_0011-3-37-1', 9],
      ['gw_0022-3-1-0', 2],
    ],
    held: [
      { budget_id: 'bud_01', copy: 'mem_01', window_start_ms: 1_795_392_000_000, amount: 200 },
      { budget_id: 'bud_02', copy: '', window_start_ms: 0, amount: 7 },
      { budget_id: 'bud_slots', copy: '', window_start_ms: 0, amount: 1 },
    ],
  })
  const { lease_totals: _, ...rest } = full
  const short = UsageRecorded.check({
    ...rest,
    leases: [],
    held: [],
    drawn: [
      [
        ['bud_01', 'mem_01', 1_795_392_000_000],
        200,
        [
          ['37-0', 5, 50],
          ['37-1', 0, 9],
        ],
      ],
      [['bud_02', '', 0], 7, [['gw_0022-3-1-0', 2, 2]]],
      [['bud_slots', '', 0], 1, []],
    ],
  })
  assert.deepEqual(settledLeasesOf(short), settledLeasesOf(full))
  assert.deepEqual(leaseTotalsOf(short), leaseTotalsOf(full))
  assert.deepEqual(heldMoneyOf(short), heldMoneyOf(full))
  assert.deepEqual(heldMoneyOf(full), full.held)
})

test('an event from before it told its totals is still read', () => {
  const event = UsageRecorded.check(kept)
  assert.deepEqual([leaseTotalsOf(event), settledLeasesOf(event)], [[], [['lease_01', 165_000]]])
})

test('what the kept example in short says of money is still read', () => {
  const event = UsageRecorded.check(keptExample('usage-recorded.v1-drawn'))
  assert.deepEqual(heldMoneyOf(event), [
    { budget_id: 'bud_01', copy: 'mem_01', window_start_ms: 1_795_392_000_000, amount: 200_000 },
    { budget_id: 'bud_02', copy: '', window_start_ms: 0, amount: 200_000 },
    { budget_id: 'bud_slots', copy: '', window_start_ms: 0, amount: 1 },
  ])
  assert.deepEqual(leaseTotalsOf(event), [
    ['gw_0011-3-37-0', 910_000],
    ['gw_0011-3-37-1', 5_000],
    ['gw_0022-3-1-0', 165_000],
  ])
})
