import assert from 'node:assert/strict'
import test from 'node:test'
import type { LeaseTotals } from '@sluice/contracts'
import { JournaledLeases } from './index.ts'

const stated: LeaseTotals = {
  lease_id: 'gw_a-1-1-0',
  budget_id: 'bud_1',
  copy: '',
  window_start_ms: 0,
  epoch: 1,
  granted: 100,
  settled_total: 10,
  returned_total: 5,
  unresolved: [{ attempt_id: 'a', amount: 3 }],
  version: 4,
  done: false,
}

test('a LEASE that is read again behind newer records takes nothing back', () => {
  const leases = new JournaledLeases(1)
  leases.state(stated)
  leases.state({ ...stated, settled_total: 20, returned_total: 9, version: 6 })
  leases.settle('b', [[stated.lease_id, 31]], [[stated.lease_id, 7]])
  const before = leases.totals()
  leases.state(stated)
  assert.deepEqual(leases.totals(), before)
  assert.deepEqual(before, [
    {
      ...stated,
      settled_total: 31,
      returned_total: 9,
      unresolved: [
        { attempt_id: 'a', amount: 3 },
        { attempt_id: 'b', amount: 7 },
      ],
      version: 7,
      done: true,
    },
  ])
})
