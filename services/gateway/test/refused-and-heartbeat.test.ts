import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import {
  CallRefused,
  type CallRefusedData,
  GatewayHeartbeat,
  type GatewayHeartbeatData,
  PARTITIONS,
  partitionOf,
} from '@sluice/contracts'
import { eventually, testFolder, testNats } from '@sluice/test-env'
import { uuidv7 } from 'uuidv7'
import { startHeartbeat, tellJournal } from '../src/heartbeat-publisher.ts'
import { createRefusedPublisher } from '../src/refused-publisher.ts'
import { followPrices } from '../src/views/prices-view.ts'
import { connectGateway, draftOf, log, openRecord, openTestJournal, projects, reversed } from './journal-env.ts'

function refusal(keyId: string, reason = 'budget_spent'): CallRefusedData {
  return {
    call_id: uuidv7(),
    gateway_id: 'gw_1',
    refused_at_ms: Date.now(),
    identity: {
      account_id: 'acct_1',
      project_id: projects[0] ?? '',
      team_id: 'unassigned',
      key_id: keyId,
      credential_kind: 'key',
    },
    claimed: {},
    dialect: 'openai',
    endpoint: 'chat.completions',
    reason,
    http_status: 429,
    count: 1,
  }
}

test('a client that hammers a closed door costs a few messages, and every refusal is counted', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const seen: CallRefusedData[] = []
  nats.admin.subscribe('call.refused.v1.*', {
    callback: (_, message) => void seen.push(CallRefused.decode(message.data)),
  })
  await nats.admin.flush()
  const publisher = createRefusedPublisher({ bus, log, secondMs: 50 })
  const [loud, quiet] = [uuidv7(), uuidv7()]
  for (let i = 0; i < 1_000; i++) publisher.refuse(refusal(loud, i % 2 === 0 ? 'budget_spent' : 'model_not_allowed'))
  publisher.refuse(refusal(quiet))
  const sum = () => seen.reduce((total, { count }) => total + count, 0)
  await eventually(() => sum() === 1_001)
  assert.equal(seen.length, 5 + 2 + 1)
  await publisher.close()
  const { state } = await (await jetstreamManager(nats.admin)).streams.info('CALLS')
  assert.equal(state.messages, seen.length)
  assert.equal(publisher.dropped(), 0)
})

test('while the bus is away refused calls wait in bounded memory, and what is dropped is counted', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  let away = true
  const publisher = createRefusedPublisher({
    bus: { ...bus, isConnected: () => !away },
    log,
    maxWaiting: 100,
    secondMs: 10,
  })
  for (let i = 0; i < 150; i++) publisher.refuse(refusal(uuidv7()))
  assert.ok(publisher.dropped() >= 50 && publisher.dropped() < 70, `${publisher.dropped()} dropped`)
  away = false
  await publisher.close(5_000)
  const { state } = await (await jetstreamManager(nats.admin)).streams.info('CALLS')
  assert.equal(state.messages, 150 - publisher.dropped())
})

test('a gateway says that it is alive, and how it fares', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const beats: number[] = []
  nats.admin.subscribe('gateway.heartbeat.v1', {
    callback: (_, message) => void beats.push(GatewayHeartbeat.decode(message.data).active_calls),
  })
  await nats.admin.flush()
  let calls = 0
  const read = () => ({ ready: true, active_calls: ++calls, unpublished_events: 0 })
  const heartbeat = startHeartbeat({ bus, gatewayId: 'gw_1', epoch: 1, read, intervalMs: 20 })
  scope.after(() => heartbeat.close())
  await eventually(() => beats.length >= 3)
  assert.deepEqual(beats.slice(0, 3), [1, 2, 3])
})

test('a gateway says which numbers its journal has given out, and what is open in it', async t => {
  const scope = reversed(t)
  const nats = await testNats(t)
  const bus = await connectGateway(scope, nats)
  const journal = await openTestJournal(scope, { directory: testFolder(t, 'journal'), bus })
  const prices = await followPrices(bus, log)
  scope.after(() => prices.close())
  let latest: GatewayHeartbeatData | undefined
  nats.admin.subscribe('gateway.heartbeat.v1', {
    callback: (_, message) => {
      latest = GatewayHeartbeat.decode(message.data)
    },
  })
  await nats.admin.flush()
  for (const project of [projects[0], projects[1], projects[1]]) {
    const open = openRecord(project)
    journal.open(open)
    journal.close(draftOf(open), { urgent: false })
  }
  journal.open(openRecord())
  const { gatewayId, epoch } = journal
  const read = () => ({ ready: true, active_calls: 1, unpublished_events: 0, ...tellJournal(journal, prices) })
  const heartbeat = startHeartbeat({ bus, gatewayId, epoch, read, intervalMs: 20 })
  scope.after(() => heartbeat.close())
  const beat = await eventually(() => latest)
  const last: number[] = Array(PARTITIONS).fill(0)
  last[partitionOf(projects[0] ?? '')] = 1
  last[partitionOf(projects[1] ?? '')] = 2
  // The book of these calls was never published: nobody can say what the open one costs.
  assert.deepEqual([beat.last, beat.open_attempts, beat.open_nano_usd, beat.open_unrated], [last, 1, 0, 1])
})
