import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { followBucket, openBucket } from '@sluice/bus'
import { BudgetWindow, cutoffKey } from '@sluice/contracts'
import { eventually } from '@sluice/test-env'
import { openStores } from './budget-service.ts'

test('whoever was away for longer than deletions are kept drops, once it is back, what is not there any more', async t => {
  const { connectAs, log, nats } = await openStores(t)
  const writer = await openBucket(await connectAs('budget'), 'budget-windows', BudgetWindow)
  const [gone = '', stays = ''] = ['gone', 'stays'].map(copy => cutoffKey('bud_away', copy))
  const document = { budget_id: 'bud_away', window_start_ms: 0, spent: 1, held: 0, limit: 1, updated_at_ms: 1 }
  await writer.put(gone, { ...document, copy: 'gone' })
  await writer.put(stays, { ...document, copy: 'stays' })

  const bus = await connectAs('gateway')
  const told: string[] = []
  const onChange = (key: string, value?: BudgetWindow) => void (value === undefined && told.push(key))
  const view = await followBucket(bus, 'budget-windows', BudgetWindow, { log, longAwayMs: 0, onChange })
  const patient = await followBucket(bus, 'budget-windows', BudgetWindow, { log })
  t.after(async () => {
    await Promise.all([view.close(), patient.close()])
  })
  // As it is for one that was away: no message says that the key is gone.
  const manager = await jetstreamManager(nats.admin)
  await manager.streams.purge('KV_budget-windows', { filter: `$KV.budget-windows.${gone}` })
  // A server that is just back may not answer at first.
  t.mock.method(bus.connection, 'request', () => Promise.reject(new Error('not yet')), { times: 1 })
  await bus.connection.reconnect()
  await eventually(() => view.get(gone) === undefined)
  assert.deepEqual(told, [gone])
  assert.equal(view.get(stays)?.copy, 'stays')
  assert.equal(patient.get(gone)?.copy, 'gone', 'it was away for a moment')
})
