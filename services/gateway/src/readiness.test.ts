import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAdmissionGate } from './admission-gate.ts'
import { type JournalHealth, whyNotReady } from './readiness.ts'
import type { PricesView } from './views/prices-view.ts'

test('a gateway is not ready while it leaves, its views are stale, it has no prices, its clock is wrong, or its journal is full, broken or hanging', () => {
  const ok: JournalHealth = { state: 'ok', syncingForMs: 0 }
  const book = {} as NonNullable<ReturnType<PricesView['current']>>
  const ask = ({ journal = ok, ageMs = 0, priced = true, leaves = false, offMs = 0 }) => {
    const gate = createAdmissionGate({ freshAtMs: () => 10_000 - ageMs, maxViewAgeMs: 1_000 })
    if (leaves) gate.leave()
    return whyNotReady(
      { gate, prices: { current: () => (priced ? book : undefined) }, journal, leases: { clockOffMs: () => offMs } },
      10_000,
    )
  }
  assert.equal(ask({}), undefined)
  assert.equal(ask({ leaves: true }), 'shutting down')
  assert.equal(ask({ ageMs: 1_001 }), 'admission is closed')
  assert.equal(ask({ priced: false }), 'no price book yet')
  assert.equal(ask({ offMs: -5_000 }), undefined)
  assert.equal(ask({ offMs: -7_100 }), 'its clock is 7 s ahead of that of the budget service')
  assert.equal(ask({ offMs: 7_100 }), 'its clock is 7 s behind that of the budget service')
  assert.equal(ask({ journal: { ...ok, state: 'full' } }), 'journal: full')
  assert.equal(ask({ journal: { ...ok, syncingForMs: 2_000 } }), undefined)
  assert.equal(ask({ journal: { ...ok, syncingForMs: 3_900 } }), 'journal: its disk hangs, at one sync for 3 s')
})
