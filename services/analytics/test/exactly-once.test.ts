import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { splitStatements } from '@sluice/clickhouse'
import {
  adjustmentSeries,
  type CallRefusedData,
  GatewayEpochClosed,
  PARTITIONS,
  seriesKey,
  type UsageAdjustedData,
  type UsageRecordedData,
} from '@sluice/contracts'
import { gapRecord, letterArchive, listCompleteness, rebuildStore } from '@sluice/postgres'
import { createLogger } from '@sluice/runtime'
import { eventually, makeUsageEvent, publishStored, publishUsage, publishUsageBody } from '@sluice/test-env'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { deadLetterStore } from '../src/dead-letter-store.ts'
import { clickhouseSteps } from '../src/migrate.ts'
import { recentCalls } from '../src/recent-calls.ts'
import { operatorRoutes } from '../src/routes/operator-routes.ts'
import { type AnalyticsEnv, openAnalyticsEnv, type StartedUsage } from './analytics-env.ts'

const env = await openAnalyticsEnv()
let running: StartedUsage[] = []
let gateways = 0
afterEach(async () => {
  await Promise.all(running.map(({ consumer }) => consumer.close()))
  running = []
})

const start = (options?: Parameters<AnalyticsEnv['startUsage']>[0]) => {
  const started = env.startUsage(options)
  running.push(started)
  return started
}
const addOperatorRoutes = operatorRoutes({
  deadLetters: deadLetterStore(env.database.db),
  archive: letterArchive(env.database.db, 'id'),
  gaps: gapRecord(env.database.db),
  memory: rebuildStore(env.database.db),
  log: env.log,
  rows: env.rows,
  logger: createLogger('analytics', 'silent'),
})
const newGateway = () => `gw_${++gateways}`
const publisher = () => ({ connection: env.nats.admin })
const sumCost = (events: readonly { cost_nano_usd: number }[]) =>
  events.reduce((sum, event) => sum + BigInt(event.cost_nano_usd), 0n)

async function rawTotals(projectIds: readonly string[]) {
  const [totals] = await env.clickhouse.queries.query<{ n: string; cost: string }>(
    'select count() as n, sum(cost_nano_usd) as cost from usage_raw_v1 final where project_id in {projects:Array(UUID)}',
    { projects: projectIds },
  )
  return { rows: Number(totals?.n), cost: BigInt(totals?.cost ?? 0) }
}

const untilAcked = () =>
  eventually(async () => {
    const stats = await env.bus.connection.request('$JS.API.CONSUMER.INFO.USAGE.analytics-rows')
    const info = stats.json<{ num_pending: number; num_ack_pending: number }>()
    return info.num_pending === 0 && info.num_ack_pending === 0
  })

/** Events of a few projects over several hours, with all that a rollup groups by. */
function makeEvents(count: number, projects: readonly string[]): UsageRecordedData[] {
  const from = Date.UTC(2026, 10, 1)
  return Array.from({ length: count }, (_, n) =>
    makeUsageEvent({
      identity: {
        project_id: projects[n % projects.length] ?? randomUUID(),
        team_id: `team_${n % 3}`,
        ...(n % 2 === 0 ? { member_id: `member_${n % 5}` } : {}),
        ...(n % 4 === 0 ? { room: 'lobby' } : {}),
      },
      claimed: { app: n % 3 === 0 ? 'codex' : 'sdk' },
      served_by: n % 11 < 6 ? 'simulator' : 'openai',
      admitted_at_ms: from + ((n * 97_003) % (6 * 3_600_000)),
      quantities: { in_text: 100 + n, out_text: 7 * n, out_reasoning: n },
      cost_nano_usd: 1_000_000 + n * 1_237,
      status: n % 7 === 0 ? 'aborted' : 'completed',
    }),
  )
}

test('redelivered and re-bordered batches: raw rows equal events, and rollups equal raw rows to the nano', async () => {
  const projects = [randomUUID(), randomUUID(), randomUUID()]
  const series = { gatewayId: newGateway(), epoch: 1, partition: 0 }
  const events = makeEvents(120, projects)
  start()
  const ranges = [
    [1, 50],
    [31, 70],
    [101, 120],
    [1, 10],
    [60, 105],
    [1, 120],
    [90, 120],
  ] as const
  for (const [first, last] of ranges)
    await publishUsage(publisher(), { ...series, first, last }, events.slice(first - 1, last))
  await untilAcked()
  assert.deepEqual(await rawTotals(projects), { rows: events.length, cost: sumCost(events) })

  while ((await env.rollups.recomputeDirtyHours(4)) > 0);
  // A second recomputation replaces the first.
  await env.log.finish(
    { first: 0, last: 0, messages: [] },
    {
      dirtyHours: projects.map(projectId => ({ projectId, hourMs: Date.UTC(2026, 10, 1) })),
      postponed: [],
      resolved: [],
    },
  )
  assert.equal(await env.rollups.recomputeDirtyHours(100), projects.length)
  const dimensions = 'project_id, team_id, member_id, room, key_id, app, provider, model, served_by'
  const rolled = await env.clickhouse.queries.query(
    `select ${dimensions}, toString(hour) as h, attempts, completed, quantities, costs, cost_nano_usd as cost
    from usage_hourly_v2 final where project_id in {projects:Array(UUID)} order by h, ${dimensions}`,
    { projects },
  )
  const raw = await env.clickhouse.queries.query(
    `select ${dimensions}, toString(toStartOfHour(admitted_at)) as h, count() as attempts,
      countIf(status = 'completed') as completed, sumMap(quantities) as quantities, sumMap(costs) as costs,
      sum(cost_nano_usd) as cost
    from usage_raw_v1 final where project_id in {projects:Array(UUID)} group by ${dimensions}, h order by h, ${dimensions}`,
    { projects },
  )
  assert.ok(raw.length > 20)
  assert.deepEqual(rolled, raw)
})

test('a crash between insert and mark doubles nothing', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 3 }
  const events = makeEvents(20, [project])
  let crashes = 0
  const crashing = start({
    log: {
      ...env.log,
      finish: async () => {
        crashes++
        throw new Error('the process ends here')
      },
    },
  })
  await publishUsage(publisher(), { ...series, first: 1, last: 12 }, events.slice(0, 12))
  await publishUsage(publisher(), { ...series, first: 13, last: 20 }, events.slice(12))
  await eventually(() => crashes > 0)
  await crashing.consumer.close()
  assert.notEqual((await env.log.findUnfinished()).length, 0)

  start()
  await eventually(async () => (await rawTotals([project])).rows === events.length)
  await untilAcked()
  assert.deepEqual(await env.log.findUnfinished(), [])
  assert.deepEqual(await rawTotals([project]), { rows: events.length, cost: sumCost(events) })
  const [physical] = await env.clickhouse.queries.query<{ n: string }>(
    "select sum(rows) as n from system.parts where active and table = 'usage_raw_v1' and partition = '202611'",
  )
  const [logical] = await env.clickhouse.queries.query<{ n: string }>(
    'select count() as n from usage_raw_v1 final where toYYYYMM(admitted_at) = 202611',
  )
  assert.equal(physical?.n, logical?.n, 'the second insert of the same run wrote no rows at all')
})

const adjust = (event: UsageRecordedData, version: number, seq: number, cost: number): UsageAdjustedData => ({
  seq,
  event_id: event.event_id,
  version,
  project_id: event.identity.project_id,
  account_id: event.identity.account_id,
  admitted_at_ms: event.admitted_at_ms,
  adjusted_at_ms: event.admitted_at_ms + 1000,
  reason: 'reconciled',
  price_book_id: 'book_2',
  quantities: { in_text: 5 },
  line_items: [{ quantity_name: 'in_text', quantity: 5, rate_nano_usd_per_million: 0, cost_nano_usd: cost }],
  cost_nano_usd: cost,
  difference_nano_usd: cost - event.cost_nano_usd,
})

test('the highest adjustment of an event counts once, in whatever order they come', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 1 }
  const [early, late] = makeEvents(2, [project])
  assert.ok(early && late)
  start()
  await env.publishAdjusted(adjust(late, 2, 2, 22))
  await env.publishAdjusted(adjust(late, 1, 1, 11))
  await publishUsage(publisher(), { ...series, first: 1, last: 1 }, [early])
  await untilAcked()
  await publishUsage(publisher(), { ...series, first: 2, last: 2 }, [late])
  await env.publishAdjusted(adjust(early, 1, 3, 33))
  await env.publishAdjusted(adjust(early, 1, 3, 33))
  await untilAcked()
  const rows = await env.rows.listUsage({ projectId: project }, undefined, 10)
  const found = new Map(rows.map(row => [row.event_id, row]))
  assert.equal(rows.length, 2)
  assert.equal(found.get(early.event_id)?.cost_nano_usd, '33')
  assert.equal(found.get(late.event_id)?.cost_nano_usd, '22')
  assert.equal(found.get(late.event_id)?.team_id, late.identity.team_id)
  assert.deepEqual(found.get(late.event_id)?.quantities, { in_text: '5' })
  const pending = await env.database.db.selectFrom('pending_adjustments').selectAll().execute()
  assert.deepEqual(pending, [])
})

test('what cannot be applied becomes a dead letter, counts as received, and holds nothing up', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 2 }
  const events = makeEvents(3, [project])
  start()
  const line = (event: UsageRecordedData | undefined, seq: number) =>
    JSON.stringify({ ...event, gateway_id: series.gatewayId, epoch: 1, partition: 2, seq })
  const body = [line(events[0], 1), '{"event_id":"not one of ours"}', line(events[2], 99)].join('\n')
  await publishUsageBody(publisher(), { ...series, first: 1, last: 3 }, body)
  await publishStored(env.nats.admin, 'usage.recorded.v1.2', 'no headers at all')
  await publishUsage(publisher(), { ...series, first: 4, last: 4 }, makeEvents(1, [project]))
  await untilAcked()
  assert.equal((await rawTotals([project])).rows, 2)
  const letters = await env.database.db.selectFrom('dead_letters').selectAll().orderBy('id').execute()
  assert.deepEqual(
    letters.map(letter => [letter.seq, letter.line]),
    [
      ['2', 1],
      ['3', 2],
      [null, 0],
    ],
  )
  const mark = (await listCompleteness(env.database.db)).find(one => one.gateway_id === series.gatewayId)
  assert.deepEqual([mark?.last, mark?.gaps], [4, []])
})

test('a closed epoch without gaps is complete, and one that lacks events says which', async () => {
  const gatewayId = newGateway()
  start()
  await publishUsage(
    publisher(),
    { gatewayId, epoch: 1, partition: 0, first: 1, last: 2 },
    makeEvents(2, [randomUUID()]),
  )
  const last = Array.from({ length: PARTITIONS }, (_, partition) => (partition === 0 ? 2 : partition === 5 ? 3 : 0))
  await publishStored(
    env.nats.admin,
    GatewayEpochClosed.subject(),
    GatewayEpochClosed.encode({
      gateway_id: gatewayId,
      epoch: 1,
      last,
      closed_by: gatewayId,
      closed_at_ms: Date.now(),
    }),
  )
  await untilAcked()
  const series = (await listCompleteness(env.database.db)).filter(one => one.gateway_id === gatewayId)
  assert.deepEqual(
    series.filter(one => !one.complete).map(one => [one.partition, one.gaps]),
    [[5, [[1, 3]]]],
  )
  assert.equal(series.length, PARTITIONS)
})

test('what two gateways settle is one row, whenever each admitted it', async () => {
  const project = randomUUID()
  const eventId = randomUUID()
  const settled = (hour: number) =>
    makeUsageEvent({
      event_id: eventId,
      identity: { project_id: project },
      settlement_key: 'batch_1/a',
      admitted_at_ms: Date.UTC(2026, 10, 2, hour),
    })
  start()
  for (const hour of [3, 4])
    await publishUsage(publisher(), { gatewayId: newGateway(), epoch: 1, partition: 0, first: 1, last: 1 }, [
      settled(hour),
    ])
  await untilAcked()
  assert.equal((await rawTotals([project])).rows, 1)

  // A key is one of its project.
  const other = makeUsageEvent({ settlement_key: 'batch_1/a' })
  await publishUsage(publisher(), { gatewayId: newGateway(), epoch: 1, partition: 0, first: 1, last: 1 }, [other])
  await untilAcked()
  assert.equal((await rawTotals([other.identity.project_id])).rows, 1)
})

test('adjustments are a series of their own', async () => {
  const series = (await listCompleteness(env.database.db)).find(one => one.gateway_id === adjustmentSeries.gatewayId)
  assert.deepEqual([series?.last, series?.gaps], [3, []])
})

test('a database that was restored reads again what was acknowledged after its backup', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 6 }
  const events = makeEvents(6, [project])
  const first = start()
  await publishUsage(publisher(), { ...series, first: 1, last: 2 }, events.slice(0, 2))
  await untilAcked()
  await first.consumer.close()
  const { db } = env.database
  const backup = {
    marks: (await listCompleteness(db)).find(one => one.gateway_id === series.gatewayId),
    positions: await db.selectFrom('series_positions').selectAll().execute(),
  }
  const second = start()
  await publishUsage(publisher(), { ...series, first: 3, last: 6 }, events.slice(2))
  await untilAcked()
  await second.consumer.close()

  assert.equal(backup.marks?.last, 2)
  await sql`update series_marks set last = 2 where gateway_id = ${series.gatewayId}`.execute(db)
  await db.deleteFrom('series_positions').execute()
  await db.insertInto('series_positions').values(backup.positions).execute()
  await db.deleteFrom('dirty_hours').execute()
  start()
  await eventually(async () =>
    (await listCompleteness(db)).some(one => one.gateway_id === series.gatewayId && one.last === 6),
  )
  assert.deepEqual(await rawTotals([project]), { rows: 6, cost: sumCost(events) })
})

test('a dead letter that can be read by now is applied past its mark, and is gone', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 4 }
  const [event] = makeEvents(1, [project])
  start()
  await publishUsageBody(publisher(), { ...series, first: 1, last: 1 }, '{}')
  await untilAcked()
  const { db } = env.database
  const operator = Fastify()
  addOperatorRoutes(operator)
  const letter = await db
    .selectFrom('dead_letters')
    .selectAll()
    .where('series', '=', `${series.gatewayId}.1.4`)
    .executeTakeFirstOrThrow()
  const replay = () => operator.inject({ method: 'POST', url: `/dead-letters/${letter.id}/replay` })
  assert.equal((await replay()).statusCode, 409)

  // A version that can read it is stood in for by content that this one can.
  const content = Buffer.from(
    JSON.stringify({ ...event, gateway_id: series.gatewayId, epoch: 1, partition: 4, seq: 1 }),
  )
  await db.updateTable('dead_letters').set({ content }).where('id', '=', letter.id).execute()
  assert.equal((await replay()).statusCode, 200)
  assert.equal((await replay()).statusCode, 404)
  assert.equal((await rawTotals([project])).rows, 1)
  assert.notEqual(await env.rollups.recomputeDirtyHours(100), 0)
})

test('an event that a store refuses is a dead letter alone, and everything around it is in', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 5 }
  const events = makeEvents(9, [project]).map((event, index) => ({
    ...event,
    ...(index === 1 ? { identity: { ...event.identity, participant: 'Ann\u0000' } } : {}),
    ...(index === 2 ? { requested_model: 'gpt-\ud800x' } : {}),
    ...(index === 4 ? { settlement_key: 'batch/\u0000' } : {}),
    ...(index === 6 ? { duration_ms: 1e300 } : {}),
  }))
  start()
  await publishUsage(publisher(), { ...series, first: 1, last: 4 }, events.slice(0, 4))
  const [adjustable] = events
  assert.ok(adjustable)
  await env.publishAdjusted({ ...adjust(adjustable, 1, 4, 40), reason: 'half of \ud83d a pair' })
  await env.publishAdjusted(adjust(makeUsageEvent(), 2 ** 40, 5, 50))
  await publishUsage(publisher(), { ...series, first: 5, last: 9 }, events.slice(4))
  await untilAcked()
  const refused = [3, 5, 7]
  const good = events.filter((_, index) => !refused.includes(index + 1))
  assert.deepEqual(await rawTotals([project]), { rows: good.length, cost: sumCost(good) })
  const { db } = env.database
  const lettersOf = (of: typeof series) =>
    db.selectFrom('dead_letters').selectAll().where('series', '=', seriesKey(of)).orderBy('seq').execute()
  const letters = await lettersOf(series)
  assert.deepEqual(
    letters.map(letter => [letter.seq, letter.line]),
    [
      ['3', 2],
      ['5', 0],
      ['7', 2],
    ],
  )
  assert.deepEqual(
    (await lettersOf(adjustmentSeries)).map(letter => letter.seq),
    ['4', '5'],
  )
  const operator = Fastify()
  addOperatorRoutes(operator)
  for (const letter of letters) {
    assert.match(letter.reason, /^refused by the store: /)
    assert.equal(JSON.parse(letter.content.toString()).event_id, events[Number(letter.seq) - 1]?.event_id)
    const replay = await operator.inject({ method: 'POST', url: `/dead-letters/${letter.id}/replay` })
    assert.equal(replay.statusCode, 409)
  }
  const mark = (await listCompleteness(db)).find(one => one.gateway_id === series.gatewayId)
  assert.deepEqual([mark?.last, mark?.gaps], [9, []])
  assert.deepEqual(await env.log.findUnfinished(), [])
})

test('a refused call that ClickHouse does not take is a dead letter alone', async t => {
  const project = randomUUID()
  const identity = { ...makeUsageEvent().identity, project_id: project }
  const calls = Array.from(
    { length: 5 },
    (_, index): CallRefusedData => ({
      call_id: randomUUID(),
      gateway_id: 'gw_refusing',
      refused_at_ms: Date.UTC(2026, 10, 3),
      identity,
      claimed: {},
      dialect: 'openai',
      endpoint: 'responses',
      requested_model: ['a', 'b\u0000', 'c\ud800x', 'd', 'e'][index] ?? '',
      reason: 'model_not_allowed',
      http_status: 403,
      count: 1,
    }),
  )
  for (const call of calls) await env.publishRefused(call)
  const consumer = await env.startRefused(recentCalls())
  t.after(() => consumer.close())
  const found = await eventually(async () => {
    const rows = await env.clickhouse.queries.query<{ call_id: string }>(
      'select call_id from refused_calls_v1 final where project_id = {project:UUID}',
      { project },
    )
    return rows.length === 4 && rows
  })
  assert.ok(!found.some(row => row.call_id === calls[2]?.call_id))
  const letters = await eventually(async () => {
    const rows = await env.database.db.selectFrom('dead_letters').selectAll().where('stream', '=', 'CALLS').execute()
    return rows.length > 0 && rows
  })
  assert.equal(letters.length, 1)
  assert.match(letters[0]?.reason ?? '', /^refused by the store: /)
  assert.equal(JSON.parse(letters[0]?.content.toString() ?? '').call_id, calls[2]?.call_id)
})

test('while PostgreSQL is away nothing is acknowledged, and all of it is caught up', async () => {
  const project = randomUUID()
  const series = { gatewayId: newGateway(), epoch: 1, partition: 7 }
  const events = makeEvents(4, [project])
  let away = true
  let tries = 0
  const { recent } = start({
    log: {
      ...env.log,
      begin: async run => {
        if (!away) return env.log.begin(run)
        tries++
        throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
      },
    },
  })
  await publishUsage(publisher(), { ...series, first: 1, last: 4 }, events)
  await eventually(() => tries >= 2)
  assert.deepEqual((await rawTotals([project])).rows, 0)
  assert.ok(
    events.every(event => recent.find(event.call_id)),
    'calls can be looked up meanwhile',
  )
  away = false
  await untilAcked()
  assert.deepEqual(await rawTotals([project]), { rows: 4, cost: sumCost(events) })
})

test('a lost ClickHouse is filled again from the stream once its marks are emptied', async () => {
  const total = async () => {
    const [row] = await env.clickhouse.queries.query(
      'select count() as n, sum(cost_nano_usd) as cost from usage_raw_v1 final where stream_seq > 0',
    )
    return row
  }
  const before = await total()
  await env.clickhouse.writer.command('drop table usage_raw_v1 sync')
  for (const statement of splitStatements(readFileSync(join(clickhouseSteps, '001-create-usage-raw.sql'), 'utf8')))
    await env.clickhouse.writer.command(statement)
  await sql`truncate series_marks, series_positions`.execute(env.database.db)
  start()
  await eventually(async () => {
    assert.deepEqual(await total(), before)
    return true
  })
})
