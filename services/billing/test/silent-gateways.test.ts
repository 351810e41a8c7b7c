import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, subscribe } from '@sluice/bus'
import { GatewayEpochClosed, GatewayHeartbeat, type GatewayHeartbeatData, type SeriesRange } from '@sluice/contracts'
import { type GivenUpGap, gapRecord, letterArchive } from '@sluice/postgres'
import { addGapRoutes } from '@sluice/runtime'
import { metricsText } from '@sluice/telemetry'
import { eventually, publishStored, publishUsage } from '@sluice/test-env'
import Fastify from 'fastify'
import type { Completeness } from '../src/completeness.ts'
import { watchEpochs } from '../src/consumers/gateway-heartbeat.ts'
import { deadLetterStore } from '../src/dead-letter-store.ts'
import { heardEpochStore } from '../src/heard-epoch-store.ts'
import { completeness } from '../src/routes/completeness.ts'
import { silentEpochs } from '../src/routes/silent-epochs.ts'
import { type BillingStores, billingBus, billingStores, log, ratedEvent, runConsumer } from './billing-env.ts'

const silentMs = 1_200
/** No test lasts as long: nobody becomes silent. */
const neverMs = 3_600_000
const epoch = { gateway_id: 'gw_a', epoch: 1 }
const range = (first: number, last: number): SeriesRange => ({ gatewayId: 'gw_a', epoch: 1, partition: 3, first, last })

const told = (last: number, about: Partial<GatewayHeartbeatData> = {}): GatewayHeartbeatData => ({
  ...epoch,
  at_ms: Date.now(),
  ready: true,
  active_calls: 2,
  unpublished_events: 0,
  last: [0, 0, 0, last, 0, 0, 0, 0],
  open_attempts: 2,
  open_nano_usd: 1_234,
  open_unrated: 1,
  ...about,
})

type Answer = Completeness & { given_up_gaps: { count: number; latest: Omit<GivenUpGap, 'given_up_at'>[] } }

/** The watch of a running billing service, with its operator routes. */
async function runWatch(
  bus: Bus,
  stores: BillingStores,
  defer: (close: () => Promise<void>) => void,
  silentMs: number,
) {
  const store = heardEpochStore(stores.db)
  const epochs = watchEpochs(bus, { store, usage: stores.usage, silentMs, log })
  await bus.connection.flush()
  const app = Fastify()
  const gaps = gapRecord(stores.db)
  completeness(app, {
    usage: stores.usage,
    epochs,
    deadLetters: deadLetterStore(stores.db),
    archive: letterArchive(stores.db, 'dead_letter_id'),
    gaps,
    silentMs,
    nowMs: Date.now,
  })
  silentEpochs(app, { epochs: store, log })
  addGapRoutes(app, { giveUp: gaps.giveUp, log })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= epochs.close()
    return closing
  }
  defer(close)
  return {
    close,
    app,
    ask: async (): Promise<Answer> => (await app.inject({ url: '/completeness' })).json(),
  }
}

async function start(t: TestContext) {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const { admin } = env.nats
  return {
    ...env,
    stores,
    admin,
    watch: (bus = env.bus, silentAfterMs = silentMs) => runWatch(bus, stores, env.defer, silentAfterMs),
    beat: async (data: GatewayHeartbeatData) => {
      admin.publish(GatewayHeartbeat.subject(), GatewayHeartbeat.encode(data))
      await admin.flush()
    },
  }
}

const untilSilent = (ask: () => Promise<Completeness>): Promise<Completeness> =>
  eventually(async () => {
    const now = await ask()
    return now.silent.length > 0 && now
  })
const metric = async (name: string): Promise<number> =>
  Number(new RegExp(`^sluice_billing_${name} (.+)$`, 'm').exec(await metricsText())?.[1])

test('a gateway lost with its disk is named with its numbers and open calls, also after a restart, until its journal is back', async t => {
  const { stores, admin, beat, watch, ...env } = await start(t)
  await runConsumer({ ...env }, stores)
  const first = await watch()
  await beat(told(5))
  await publishUsage({ connection: admin }, range(1, 3), [ratedEvent(), ratedEvent(), ratedEvent()])
  const running = await eventually(async () => {
    // Said again: what is posted late must not find it silent.
    await beat(told(5))
    const now = await first.ask()
    return now.open[0]?.unposted_events === 2 && now
  })
  // What runs and is heard of is behind, and nothing of it is missing.
  assert.deepEqual([running.complete, running.reasons, running.gaps, running.silent], [true, [], [], []])
  await first.close()

  const second = await watch()
  const silent = await untilSilent(second.ask)
  assert.deepEqual([silent.complete, silent.reasons, silent.open], [false, ['gaps', 'silent_gateways'], []])
  assert.deepEqual(silent.gaps, [{ ...epoch, partition: 3, gaps: [[4, 5]] }])
  const [lost] = silent.silent
  assert.deepEqual(
    [lost?.unposted, lost?.unposted_events, lost?.open_calls, lost?.open_nano_usd, lost?.open_unrated],
    [[{ partition: 3, first: 4, last: 5 }], 2, 2, '1234', 1],
  )
  await eventually(async () => (await metric('longest_silence_seconds')) > 0)
  assert.deepEqual(
    await Promise.all(['silent_unposted_events', 'silent_open_calls', 'silent_open_nano_usd'].map(metric)),
    [2, 2, 1_234],
  )
  await second.close()
  // It need not wait to be sure once more.
  const third = await watch()
  const again = await third.ask()
  assert.deepEqual([again.gaps, again.silent[0]?.silent_since], [silent.gaps, lost?.silent_since])

  await publishUsage({ connection: admin }, range(4, 6), [ratedEvent(), ratedEvent(), ratedEvent()])
  const closed = { ...epoch, last: [0, 0, 0, 6, 0, 0, 0, 0], closed_by: 'gw_b', closed_at_ms: Date.now() }
  await publishStored(admin, GatewayEpochClosed.subject(), GatewayEpochClosed.encode(closed))
  const whole = await eventually(async () => {
    const now = await third.ask()
    return now.complete && now
  })
  assert.deepEqual([whole.silent, whole.gaps, whole.open], [[], [], []])
  await eventually(async () => (await metric('longest_silence_seconds')) === 0)
  await eventually(async () => (await heardEpochStore(stores.db).list()).length === 0)
  // A beat that comes late opens nothing again.
  await beat(told(5))
  await third.close()
  assert.deepEqual(await heardEpochStore(stores.db).list(), [])
})

test('a gateway that is heard of again is not silent any more', async t => {
  const { beat, watch } = await start(t)
  const { ask } = await watch()
  await beat(told(1))
  await untilSilent(ask)
  const heard = await eventually(async () => {
    // Said again: what is asked late must not find it silent once more.
    await beat(told(2))
    const now = await ask()
    return now.complete && now
  })
  assert.deepEqual([heard.silent, heard.open[0]?.unposted_events], [[], 2])
})

test('an epoch that has posted, was never heard of and is not closed is silent too', async t => {
  const { stores, admin, watch, ...env } = await start(t)
  await runConsumer({ ...env }, stores)
  await publishUsage({ connection: admin }, range(1, 1), [ratedEvent()])
  const { ask } = await watch()
  const { silent, reasons, gaps } = await untilSilent(ask)
  assert.deepEqual(
    [silent[0]?.gateway_id, silent[0]?.unposted_events, silent[0]?.open_calls, reasons, gaps],
    ['gw_a', null, null, ['silent_gateways'], []],
  )
})

test('while billing does not listen nobody counts as silent, and it does not say that all is there', async t => {
  const { bus, beat, watch } = await start(t)
  let isConnected = true
  const { ask } = await watch({ ...bus, isConnected: () => isConnected })
  await eventually(async () => {
    await beat(told(1))
    return (await ask()).open.length === 1
  })
  isConnected = false
  await delay(3 * silentMs)
  const deaf = await ask()
  assert.deepEqual([deaf.complete, deaf.reasons, deaf.silent], [false, ['unheard_gateways'], []])
  isConnected = true
  assert.equal((await untilSilent(ask)).silent.length, 1)
})

test('a silent gateway that a person gives up stays on record, and is missed no longer', async t => {
  const { bus, stores, beat, watch } = await start(t)
  const giveUpAt = ({ app }: Pick<Awaited<ReturnType<typeof watch>>, 'app'>, path: string, payload: object) =>
    app.inject({ method: 'POST', url: `/completeness/silent/${path}/give-up`, payload })
  const by = { by: 'ada', reason: 'the machine burnt' }
  const patient = await watch(bus, neverMs)
  await beat(told(4))
  await eventually(async () => (await patient.ask()).open.length === 1)
  // One that runs is nobody's to give up.
  assert.equal((await giveUpAt(patient, 'gw_a/1', by)).statusCode, 404)
  await patient.close()

  const { app, ask } = await watch()
  const giveUp = (path: string, payload: object) => giveUpAt({ app }, path, payload)
  await untilSilent(ask)
  assert.equal((await giveUp('gw_a/1', { by: 'ada' })).statusCode, 400)
  for (const unknown of ['gw_b/1', 'gw_a/2', 'gw_a/one', 'gw.a/1'])
    assert.equal((await giveUp(unknown, by)).statusCode, 404)
  assert.equal((await giveUp('gw_a/1', by)).statusCode, 200)
  const after = await ask()
  assert.deepEqual([after.complete, after.gaps, after.silent], [true, [], []])
  assert.deepEqual(
    [after.given_up[0]?.unposted_events, after.given_up[0]?.given_up?.by, after.given_up[0]?.given_up?.reason],
    [4, 'ada', 'the machine burnt'],
  )
  await beat(told(4))
  await eventually(async () => (await heardEpochStore(stores.db).list())[0]?.givenUp === undefined)
  assert.equal((await untilSilent(ask)).given_up.length, 0)
})

test('numbers of a closed epoch whose journal is gone: given up by name and reason, on record, and applied if they come after all', async t => {
  const { stores, admin, watch, ...env } = await start(t)
  await runConsumer({ ...env }, stores)
  const { app, ask } = await watch()
  const giveUp = (path: string, payload: object = { by: 'ada', reason: 'the disk was wiped' }) =>
    app.inject({ method: 'POST', url: `/completeness/gaps/${path}/give-up`, payload })
  await publishUsage({ connection: admin }, range(1, 1), [ratedEvent()])
  await publishUsage({ connection: admin }, range(4, 4), [ratedEvent()])
  await eventually(async () => (await ask()).gaps.length === 1)
  // Of one that runs they may be under way.
  assert.equal((await giveUp('gw_a/1')).statusCode, 409)
  const closed = { ...epoch, last: [0, 0, 0, 6, 0, 0, 0, 0], closed_by: 'gw_b', closed_at_ms: Date.now() }
  await publishStored(admin, GatewayEpochClosed.subject(), GatewayEpochClosed.encode(closed))
  const missing = [
    [2, 3],
    [5, 6],
  ]
  await eventually(async () => (await ask()).gaps[0]?.gaps.length === 2)
  assert.equal((await giveUp('gw_a/1', { reason: 'nobody says so' })).statusCode, 400)
  for (const unknown of ['gw_b/1', 'gw_a/2', 'gw.a/1']) assert.equal((await giveUp(unknown)).statusCode, 404)
  assert.deepEqual((await giveUp('gw_a/1')).json(), {
    outcome: 'given_up',
    gaps: missing.map(([first, last]) => [3, first, last]),
  })
  const after = await ask()
  assert.deepEqual([after.complete, after.gaps, after.given_up_gaps.count], [true, [], 2])
  for (const gap of after.given_up_gaps.latest)
    assert.deepEqual([gap.partition, gap.given_up_by, gap.reason], [3, 'ada', 'the disk was wiped'])
  assert.equal((await giveUp('gw_a/1')).statusCode, 404)
  const late = ratedEvent()
  await publishUsage({ connection: admin }, range(3, 3), [late])
  await eventually(async () => (await stores.usage.listCompleteness())[3]?.gaps[0]?.[1] === 2)
  assert.deepEqual([(await ask()).complete, (await ask()).given_up_gaps.count], [true, 2])
})

test('what was missing within a silent gateway’s numbers goes with it when it is given up; elsewhere after an hour', async t => {
  const { stores, admin, beat, watch, ...env } = await start(t)
  await runConsumer({ ...env }, stores)
  const { app, ask } = await watch()
  await beat(told(5))
  await publishUsage({ connection: admin }, range(1, 1), [ratedEvent()])
  await publishUsage({ connection: admin }, range(3, 3), [ratedEvent()])
  const silent = await untilSilent(ask)
  assert.deepEqual(silent.gaps[0]?.gaps, [
    [2, 2],
    [4, 5],
  ])
  const payload = { by: 'ada', reason: 'the machine burnt' }
  await app.inject({ method: 'POST', url: '/completeness/silent/gw_a/1/give-up', payload })
  const after = await ask()
  assert.deepEqual([after.complete, after.gaps, after.given_up_gaps.count], [true, [], 0])
  // Budget and analytics hear no heartbeats: there the numbers are given up by themselves.
  const giveUp = () => app.inject({ method: 'POST', url: '/completeness/gaps/gw_a/1/give-up', payload })
  assert.equal((await giveUp()).statusCode, 409)
  await stores.db
    .updateTable('series_marks' as never)
    .set({ updated_at: new Date(Date.now() - 3_700_000) } as never)
    .execute()
  assert.deepEqual((await giveUp()).json().gaps, [[3, 2, 2]])
})

test('billing hears heartbeats with the rights that it has, and only the latest of each is kept', async t => {
  const { bus, stores, beat, watch } = await start(t)
  let heard = 0
  const counting = subscribe(bus, GatewayHeartbeat, GatewayHeartbeat.subject(), () => heard++, log)
  const { close } = await watch()
  for (let last = 1; last <= 20; last++) await beat(told(last))
  const { last: _, open_attempts: __, open_nano_usd: ___, open_unrated: ____, ...early } = told(7)
  await beat({ ...early, gateway_id: 'gw_old' })
  await eventually(() => heard === 21)
  await counting.close()
  await close()
  assert.deepEqual(
    (await heardEpochStore(stores.db).list()).map(one => [one.gatewayId, one.last[3], one.openAttempts]),
    [
      ['gw_a', 20, 2],
      ['gw_old', undefined, null],
    ],
  )
})
