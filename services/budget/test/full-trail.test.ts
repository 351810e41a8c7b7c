import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { followBucket } from '@sluice/bus'
import { AuditRecorded, Budget, Stop } from '@sluice/contracts'
import { eventually } from '@sluice/test-env'
import { openService } from './budget-service.ts'

test('while the trail takes nothing, stops and changes of budgets reach gateways all the same, and it misses none of them', async t => {
  const { gateway, log, nats, newProject, service, toldTrail } = await openService(t)
  const stops = await followBucket(gateway, 'stops', Stop, { log })
  const budgets = await followBucket(gateway, 'budgets', Budget, { log })
  t.after(async () => {
    await Promise.all([stops.close(), budgets.close()])
  })
  const { projectId, call } = await newProject()
  const path = `${projectId}/budgets`
  await eventually(async () => (await call('GET', path)).status !== 401)
  const { body } = await call('POST', path, { name: 'Limited', unit: 'requests', limit: '1', window: 'day' })
  await toldTrail(body.id, 'budget.created')

  const manager = await jetstreamManager(nats.admin)
  const { config, state } = await manager.streams.info('AUDIT')
  await manager.streams.update('AUDIT', { ...config, max_bytes: state.bytes + 1 })
  for (let limit = 2; limit <= 21; limit++)
    assert.equal((await call('PATCH', `${path}/${body.id}`, { limit: String(limit) })).status, 200)
  const madeAt = performance.now()
  const stop = await call('POST', `${projectId}/stops`, { scope: { app: 'codex' }, reason: 'A test.' })
  await eventually(() => stops.get(stop.body.id)?.reason === 'A test.')
  t.diagnostic(`a stop behind a full trail: ${Math.round(performance.now() - madeAt)} ms`)
  await eventually(() => budgets.get(body.id)?.limit === 21)
  const shown = async () => (await fetch(`http://127.0.0.1:${service.operatorPort}/metrics`)).text()
  assert.match(await shown(), /sluice_budget_outbox_oldest_seconds\{lane="state"\} /)
  assert.equal((await manager.streams.info('AUDIT')).state.messages, state.messages)

  await manager.streams.update('AUDIT', config)
  const messages = await eventually(async () => {
    const { state: now } = await manager.streams.info('AUDIT')
    assert.equal(now.messages, state.messages + 21)
    return now
  })
  const entries = []
  for (let seq = messages.first_seq; seq <= messages.last_seq; seq++) {
    const message = await manager.streams.getMessage('AUDIT', { seq })
    if (message) entries.push(AuditRecorded.decode(message.data))
  }
  assert.deepEqual(
    entries.flatMap(({ action, after }) => (action === 'budget.changed' ? [(after as Budget).limit] : [])),
    Array.from({ length: 20 }, (_, at) => at + 2),
  )
  assert.equal(entries.at(-1)?.action, 'stop.created')
})
