import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { answerUsageHours, connectBus, type UsageHourSum } from '@sluice/bus'
import { usageHoursSubjects } from '@sluice/contracts'
import { runMigrations } from '@sluice/postgres'
import { sized } from '@sluice/test-env'
import { sql } from 'kysely'
import { reconcileUsage } from '../src/consumers/reconcile-usage.ts'
import { migrations } from '../src/db/migrations/index.ts'
import { readMessage } from '../src/received-message.ts'
import { billingBus, billingStores, log, ratedEvent, sumOf } from './billing-env.ts'

const hour = 3_600_000
const start = Date.parse('2026-11-20T10:00:00Z')

test('sums are compared over pages of any size, and each difference is named by place, project and hour', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const projects = Array.from({ length: sized({ small: 170, full: 1_700 }) }, () => randomUUID())
  const events = projects.flatMap((project, index) =>
    [0, 1, 2].map(at =>
      ratedEvent({
        identity: { project_id: project },
        paid_by: index % 10 === 0 ? 'seat' : 'managed',
        gateway_id: 'gw_a',
        partition: 3,
        seq: index * 3 + at + 1,
        admitted_at_ms: start + at * hour + index,
      }),
    ),
  )
  for (let first = 0; first < events.length; first += 850) {
    const part = events.slice(first, first + 850)
    const range = { gatewayId: 'gw_a', epoch: 1, partition: 3, first: first + 1, last: first + part.length }
    const message = readMessage(
      'usage.recorded.v1.3',
      Buffer.from(part.map(event => `${JSON.stringify(event)}\n`).join('')),
      () => range,
    )
    await stores.usage.post([message], { streamSeq: 1, checkRating: () => undefined })
  }

  // What each place says: the truth, changed where the test wants it, in two pages.
  const truth = events.map(event => ({
    project_id: event.identity.project_id,
    hour_ms: start + Math.floor((event.admitted_at_ms - start) / hour) * hour,
    events: 1,
    cost: event.cost_nano_usd,
    seat: event.paid_by === 'seat',
  }))
  const changes = new Map<string, Partial<{ events: number; cost: number }>>()
  const say = async (place: keyof typeof usageHoursSubjects) => {
    const service = place === 'budget' ? 'budget' : 'analytics'
    const { user, pass } = env.nats.users[service]
    const bus = await connectBus({ url: env.nats.url, user, password: pass }, service, log)
    env.defer(() => bus.close())
    const rows = (): UsageHourSum[] =>
      truth
        .map((row, index) => ({ ...row, ...changes.get(`${place} ${index}`) }))
        .filter(row => row.events > 0)
        .map(({ project_id, hour_ms, events: count, cost, seat }) => ({
          project_id,
          hour_ms,
          events: count,
          cost_nano_usd: String(place === 'budget' && seat ? 0 : cost),
        }))
        .sort((a, b) => a.hour_ms - b.hour_ms || (a.project_id < b.project_id ? -1 : 1))
    const answering = answerUsageHours(
      bus,
      usageHoursSubjects[place],
      async ({ fromMs, toMs, after, limit }) =>
        rows()
          .filter(row => row.hour_ms >= fromMs && row.hour_ms < toMs)
          .filter(
            row =>
              after === undefined ||
              row.hour_ms > after.hourMs ||
              (row.hour_ms === after.hourMs && row.project_id > after.projectId),
          )
          .slice(0, limit),
      log,
      sized({ small: 400, full: undefined }),
    )
    await bus.connection.flush()
    env.defer(() => answering.close())
  }
  const deps = { bus: env.bus, hours: stores.hours, nowMs: () => start + 24 * hour, log }
  const compare = () => reconcileUsage(deps, start, start + 3 * hour)

  await say('analytics_rows')
  await say('analytics_rollups')
  const withoutBudget = await compare()
  assert.equal(withoutBudget.places.budget, null)
  assert.equal(withoutBudget.equal, false, 'a place that does not answer agrees with nothing')
  assert.equal(withoutBudget.difference_count, 0)

  await say('budget')
  const equal = await compare()
  assert.deepEqual([equal.equal, equal.closed, equal.difference_count], [true, true, 0])
  assert.deepEqual(equal.ledger, { events: events.length, cost_nano_usd: String(sumOf(events)) })
  assert.equal(equal.places.budget?.cost_nano_usd, String(sumOf(events.filter(event => event.paid_by !== 'seat'))))

  changes.set('analytics_rollups 4', { cost: (truth[4]?.cost ?? 0) + 1 })
  changes.set('budget 8', { events: 0 })
  const different = await compare()
  assert.equal(different.equal, false)
  const name = (index: number) => [truth[index]?.project_id, new Date(truth[index]?.hour_ms ?? 0).toISOString()]
  assert.deepEqual(
    different.differences.map(one => [one.place, one.project_id, one.hour, one.difference_nano_usd]),
    [
      ['analytics_rollups', ...name(4), '1'],
      ['budget', ...name(8), String(-(truth[8]?.cost ?? 0))],
    ],
  )
  assert.deepEqual(await stores.hours.listUnbalanced(), [])
})

test('what was posted before sums by hour were kept is in them after the migration', async t => {
  const stores = await billingStores(t)
  const project = randomUUID()
  const events = [0, 1, 2, 3].map(at =>
    ratedEvent({
      identity: { project_id: project },
      gateway_id: 'gw_a',
      partition: 3,
      seq: at + 1,
      admitted_at_ms: start + at * 1_700_000,
      ...(at < 2 ? {} : { settlement_key: 'batch_1/a', event_id: '0195f1a0-0000-5000-8000-000000000001' }),
    }),
  )
  for (const event of events) {
    const range = { gatewayId: 'gw_a', epoch: 1, partition: 3, first: event.seq, last: event.seq }
    const body = Buffer.from(`${JSON.stringify(event)}\n`)
    const message = readMessage('usage.recorded.v1.3', body, () => range)
    await stores.usage.post([message], { streamSeq: 1, checkRating: () => undefined })
  }
  const hours = await stores.hours.list(start, start + 10 * hour)
  assert.equal(
    hours.reduce((sum, one) => sum + one.costNanoUsd, 0n),
    sumOf(events.slice(0, 3)),
  )
  await sql`drop table usage_hours, duplicate_settlements`.execute(stores.db)
  await sql`delete from migrations where name = '006-create-usage-hours'`.execute(stores.db)
  await runMigrations(stores.db, 'billing', migrations)
  assert.deepEqual(await stores.hours.list(start, start + 10 * hour), hours)
  const { rows } = await sql`select batch_id, seq from duplicate_settlements`.execute(stores.db)
  assert.deepEqual(rows, [{ batch_id: '4', seq: '4' }])
})
