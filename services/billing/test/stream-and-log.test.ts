import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { batchesOf, connectBus, readUsageLog } from '@sluice/bus'
import { consumers, GatewayEpochClosed, type SeriesRange, type ServiceName, UsageLogRequest } from '@sluice/contracts'
import { eventually, publishStored, publishUsage } from '@sluice/test-env'
import { relieveStream } from '../src/consumers/relieve-stream.ts'
import { answerUsageLog } from '../src/consumers/usage-log-asked.ts'
import { type BillingBus, billingBus, billingStores, log, ratedEvent, runConsumer } from './billing-env.ts'

const range = (first: number, last: number, gatewayId = 'gw_a'): SeriesRange => ({
  gatewayId,
  epoch: 1,
  partition: 3,
  first,
  last,
})

const as = async (env: BillingBus, service: ServiceName) => {
  const { user, pass } = env.nats.users[service]
  const bus = await connectBus({ url: env.nats.url, user, password: pass }, service, log)
  env.defer(() => bus.close())
  return bus
}

test('the log is read by others, page by page, by series and by day, and only by those who may', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  await runConsumer(env, stores)
  const admin = { connection: env.nats.admin }
  const sent: string[] = []
  for (let at = 0; at < 150; at++)
    for (const event of await publishUsage(admin, range(at * 2 + 1, at * 2 + 2), [ratedEvent(), ratedEvent()]))
      sent.push(event.event_id)
  const others = await publishUsage(admin, range(1, 1, 'gw_b'), [ratedEvent()])
  const last = Array.from({ length: 8 }, (_, partition) => (partition === 3 ? 1 : 0))
  const closed = { gateway_id: 'gw_b', epoch: 1, last, closed_by: 'gw_b', closed_at_ms: 1 }
  await publishStored(env.nats.admin, GatewayEpochClosed.subject(), GatewayEpochClosed.encode(closed))
  await eventually(async () => (await stores.usage.listCompleteness()).filter(one => one.closed).length === 8)

  const answering = answerUsageLog(env.bus, { store: stores.log, log })
  env.defer(() => answering.close())
  const reader = await as(env, 'analytics')
  const read = async (request: Partial<UsageLogRequest>) => {
    const ids: string[] = []
    let pages = 0
    for await (const page of readUsageLog(reader, { kind: 'usage', after: '', ...request })) {
      pages += 1
      for (const { lines } of batchesOf(page)) for (const line of lines) ids.push(JSON.parse(line).event_id)
    }
    return { ids, pages }
  }
  const whole = await read({})
  assert.deepEqual(whole.ids, [...sent, ...others.map(event => event.event_id)])
  assert.ok(whole.pages >= 3, `${whole.pages} pages`)
  const part = { gateway_id: 'gw_a', epoch: 1, partition: 3, first: 10, last: 13 }
  // Batches that overlap the range, whole.
  assert.deepEqual((await read({ range: part })).ids, sent.slice(8, 14))
  const today = new Date().toISOString().slice(0, 10)
  assert.equal((await read({ first_day: today, last_day: today })).ids.length, sent.length + 1)
  assert.deepEqual((await read({ last_day: '2026-01-01' })).ids, [])
  const epochs: string[] = []
  for await (const page of readUsageLog(reader, { kind: 'closed-epochs', after: '' })) epochs.push(...page.lines)
  assert.deepEqual(
    epochs.map(line => GatewayEpochClosed.decode(line)).map(epoch => [epoch.gateway_id, epoch.last]),
    [['gw_b', last]],
  )

  await assert.rejects(read({ after: 'nonsense' }), /not the end of a page/)
  for (const service of ['gateway', 'accounts'] as const) {
    const { connection } = await as(env, service)
    await assert.rejects(
      connection.request('billing.usage-log.v1', UsageLogRequest.encode({ kind: 'usage', after: '' }), {
        timeout: 500,
      }),
      `${service} may not read the log`,
    )
  }
})

test('a stream above 70 % of its bytes loses what every durable consumer has acknowledged, and nothing else', async t => {
  const env = await billingBus(t)
  const manager = await jetstreamManager(env.nats.admin)
  const { config } = await manager.streams.info('USAGE')
  await manager.streams.update('USAGE', { ...config, max_bytes: 200_000 })
  const admin = { connection: env.nats.admin }
  const state = async () => (await manager.streams.info('USAGE')).state
  let next = 1
  const fillTo = async (share: number) => {
    while ((await state()).bytes < 200_000 * share) {
      await publishUsage(
        admin,
        range(next, next + 4),
        Array.from({ length: 5 }, () => ratedEvent()),
      )
      next += 5
    }
  }
  const acknowledge = async (name: string, upTo: number) => {
    const consumer = await jetstream(env.nats.admin).consumers.get('USAGE', name)
    while ((await consumer.info()).ack_floor.stream_seq < upTo) {
      const message = await consumer.next({ expires: 2_000 })
      if (message) await message.ackAck()
    }
  }
  await fillTo(0.6)
  const names = Object.entries(consumers).flatMap(([name, of]) => (of.stream === 'USAGE' ? [name] : []))
  for (const name of names) await acknowledge(name, 3)
  assert.equal((await relieveStream(env.bus)).keptFrom, undefined)
  assert.equal((await state()).first_seq, 1)

  await fillTo(0.8)
  const [slowest = '', ...faster] = names
  for (const name of faster) await acknowledge(name, 20)
  await acknowledge(slowest, 7)
  assert.equal((await relieveStream(env.bus)).keptFrom, 8)
  assert.equal((await state()).first_seq, 8)
  // Nothing more is acknowledged by all of them: nothing more goes, however full it is.
  assert.equal((await relieveStream(env.bus)).keptFrom, undefined)

  await acknowledge(slowest, 12)
  await fillTo(0.75)
  await manager.consumers.delete('USAGE', faster[0] ?? '')
  assert.equal(
    (await relieveStream(env.bus)).keptFrom,
    undefined,
    'a consumer that is not there has acknowledged nothing',
  )
  assert.equal((await state()).first_seq, 8)
})
