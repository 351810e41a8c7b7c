import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@sluice/runtime'
import { alertEvents } from './alert-event.ts'
import { startDeliveries } from './deliver-alerts.ts'
import type { AttemptOutcome, ClaimedDelivery } from './delivery-store.ts'

const deliveryOf = (count: number): ClaimedDelivery => ({
  deliveryId: `dlv_${count}`,
  claim: 'one',
  attempts: 1,
  alert: { alertId: `alr_${count}`, kind: 'test', budgetId: undefined, atMs: 0, document: {} },
  destination: {
    destinationId: `ald_${count}`,
    parent: { accountId: 'acct_1', projectId: undefined },
    budgetId: undefined,
    name: 'Hook',
    target: { kind: 'webhook', url: 'https://example.com/', secrets: [] },
    events: alertEvents,
    enabled: true,
    createdAtMs: 0,
  },
})

test('a process that ends writes down what it has sent, and takes nothing more', async () => {
  let claimed = 0
  const finished: string[] = []
  const sending = Promise.withResolvers<AttemptOutcome>()
  const claiming = Promise.withResolvers<void>()
  const deliveries = startDeliveries({
    claim: async () => {
      claiming.resolve()
      return [deliveryOf(++claimed)]
    },
    send: () => sending.promise,
    finish: async ({ deliveryId }) => {
      finished.push(deliveryId)
      return 'delivered'
    },
    onAttempt: () => {},
    log: createLogger('budget', 'silent'),
  })
  deliveries.look()
  await claiming.promise
  const closing = deliveries.close()
  // Behind whatever was being taken when it began to end.
  await new Promise(resolve => setImmediate(resolve))
  const before = claimed
  sending.resolve({ ok: true, httpStatus: 204 })
  await closing
  assert.deepEqual([claimed, finished.length], [before, before])
})
