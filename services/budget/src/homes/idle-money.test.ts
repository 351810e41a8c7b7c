import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LeaseHeartbeat } from '@sluice/contracts'
import { emptyHome } from '@sluice/leases'
import type { AskCommand } from './command.ts'
import { IdleMoney } from './idle-money.ts'

const now = 1_000_000
const whole = { from_seq: 1, below_seq: 9, lease_ids: [] }
const ask = { message: { gateway_id: 'gw_b' } } as AskCommand

/** What is known of a gateway that says this, one message behind the other. */
function heard(...messages: Partial<LeaseHeartbeat>[]): (leaseId: string) => boolean {
  const idle = new IdleMoney()
  for (const message of messages) idle.hear({ gateway_id: 'gw_a', epoch: 1, at_ms: now, idle: [], ...message }, now)
  const state = emptyHome()
  state.gateways.set('gw_a', { gatewayId: 'gw_a', epoch: 1, heardAtMs: now })
  const lease = { pool: 'bud_a 0 ', gatewayId: 'gw_a', epoch: 1, grantedAtMs: now - 1 }
  return leaseId => idle.isWorthRecall({ ...lease, leaseId }, ask, state, now)
}

test('what has changed since a whole list is known with it: who is idle, and who is so no longer', () => {
  const isWorth = heard({ idle: [['a', 1]], whole }, { idle: [['b', 2]], busy: ['a'] })
  assert.deepEqual(['a', 'b', 'c'].map(isWorth), [false, true, false])
})

test('who has heard of changes alone calls back what it knows nothing of, and not what is said to be in use', () => {
  const isWorth = heard({ idle: [['a', 1]], busy: [] })
  assert.deepEqual(['a', 'c'].map(isWorth), [true, true])
})

test('a gateway that tells no changes has told all that is idle', () => {
  const isWorth = heard({ idle: [['a', 1]] }, { idle: [['b', 1]] })
  assert.deepEqual(['a', 'b'].map(isWorth), [false, true])
})

test('what a later run says is of its own leases alone', () => {
  const isWorth = heard({ idle: [['a', 1]], whole }, { epoch: 2, idle: [['b', 1]], busy: [] })
  assert.equal(isWorth('a'), true, 'of its leases nothing is known')
})
