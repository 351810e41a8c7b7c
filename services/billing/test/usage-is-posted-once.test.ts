import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import {
  GatewayEpochClosed,
  Mark,
  type SeriesRange,
  seriesKey,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import type { Kysely } from '@sluice/postgres'
import { eventually, publishStored, publishUsage, publishUsageBody } from '@sluice/test-env'
import fc from 'fast-check'
import { sql } from 'kysely'
import { readMissedUsage } from '../src/consumers/missed-usage.ts'
import { renumberSeries } from '../src/db/migrations/012-renumber-series.ts'
import { deadLetterStore } from '../src/dead-letter-store.ts'
import { listLateEvents } from '../src/late-event-store.ts'
import { checkRating } from '../src/rate-usage.ts'
import { type ReceivedMessage, readMessage } from '../src/received-message.ts'
import {
  billingBus,
  billingHandler,
  billingStores,
  bookId,
  log,
  priceBook,
  ratedEvent,
  readAll,
  runConsumer,
  sumOf,
} from './billing-env.ts'

const series = { gatewayId: 'gw_a', epoch: 1, partition: 3 }
const range = (first: number, last: number): SeriesRange => ({ ...series, first, last })
const place = (events: readonly UsageRecordedData[]): UsageRecordedData[] =>
  events.map((event, index) => ({ ...event, gateway_id: 'gw_a', epoch: 1, partition: 3, seq: index + 1 }))
const message = (events: readonly UsageRecordedData[], first: number, last: number): ReceivedMessage =>
  readMessage(
    'usage.recorded.v1.3',
    Buffer.from(
      events
        .slice(first - 1, last)
        .map(event => `${UsageRecorded.encode(event)}\n`)
        .join(''),
    ),
    () => range(first, last),
  )
const unrated = { streamSeq: 1, checkRating: () => undefined }

test('batches in any borders, any order and any number post each event once, to the nano-dollar', async t => {
  const stores = await billingStores(t)
  const projects = [randomUUID(), randomUUID(), randomUUID()]
  const events = place(
    Array.from({ length: 40 }, (_, index) =>
      ratedEvent({
        identity: { project_id: projects[index % 3] ?? '' },
        quantities: { in_text: 17 * index + 1, out_text: index },
        paid_by: index % 5 === 0 ? 'own_credential' : 'managed',
      }),
    ),
  )
  const ranges = fc.sample(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat({ max: 9 }), fc.nat({ max: 2 })), {
    numRuns: 25,
    seed: 4,
  })
  for (const [first, length, group] of ranges) {
    const last = Math.min(40, first + length)
    // Some come alone, some with an overlapping neighbour in the same transaction.
    const batch = Array.from({ length: group + 1 }, () => message(events, first, last))
    if (group > 0) batch.push(message(events, Math.max(1, first - 2), last))
    await stores.usage.post(batch, unrated)
  }
  await Promise.all([1, 2, 3].map(() => stores.usage.post([message(events, 1, 40)], unrated)))

  assert.equal(await stores.sumLedger(), sumOf(events))
  const logged = await readAll(stores.log.readSeries(series))
  assert.deepEqual(
    logged.map(event => event.event_id),
    events.map(event => event.event_id),
  )
  for (const project of projects) {
    const own = events.filter(event => event.identity.project_id === project)
    const { costNanoUsd, chargedNanoUsd } = await stores.ledger.findBalance(project)
    assert.equal(costNanoUsd, sumOf(own))
    assert.equal(chargedNanoUsd, sumOf(own.filter(event => event.paid_by === 'managed')))
  }
  const { rows } = await sql<{ total: string; off: string }>`select
    (select sum(amount_nano_usd) from ledger_entries) as total,
    (select count(*) from ledger_accounts a where balance_nano_usd <>
      (select coalesce(sum(amount_nano_usd), 0) from ledger_entries e where e.ledger_account = a.ledger_account)) as off`.execute(
    stores.db,
  )
  assert.deepEqual(rows, [{ total: '0', off: '0' }])
  assert.deepEqual(
    (await stores.usage.listCompleteness()).map(one => [one.last, one.gaps]),
    [[40, []]],
  )
})

test('a series has the next number, however many batches of others came before it', async t => {
  const stores = await billingStores(t)
  const events = place(Array.from({ length: 5 }, () => ratedEvent()))
  for (const at of [1, 2, 3, 4]) await stores.usage.post([message(events, at, at)], unrated)
  const moved = readMessage(
    'usage.recorded.v1.4',
    Buffer.from(`${UsageRecorded.encode({ ...ratedEvent(), partition: 4, seq: 1 })}\n`),
    () => ({
      ...series,
      partition: 4,
      first: 1,
      last: 1,
    }),
  )
  // As it was where each batch took numbers.
  await sql`select nextval(pg_get_serial_sequence('usage_series', 'series_no')) from generate_series(1, 5)`.execute(
    stores.db,
  )
  await stores.db.transaction().execute(trx => renumberSeries.up(trx as unknown as Kysely<never>))
  await stores.usage.post([message(events, 5, 5), moved], unrated)
  const { rows } = await sql`select partition, series_no from usage_series order by series_no`.execute(stores.db)
  assert.deepEqual(rows, [
    { partition: 3, series_no: 1 },
    { partition: 4, series_no: 2 },
  ])
})

test('what posts a batch is planned once on a connection, not for each of them', async t => {
  const { db, usage } = await billingStores(t)
  const events = place(Array.from({ length: 12 }, () => ratedEvent()))
  for (let at = 1; at <= 12; at++) await usage.post([message(events, at, at)], unrated)
  const { rows } = await sql`select count(*) filter (where generic_plans = 0)::int as planned_anew,
    count(*) filter (where generic_plans > 0)::int as planned_once from pg_prepared_statements`.execute(db)
  // The series is made once. Marks made, locked and saved; series, batch, accounts, transaction, entries, balances, hours, position.
  assert.deepEqual(rows, [{ planned_anew: 1, planned_once: 11 }])
})

test('the database itself refuses a range that overlaps and a transaction that does not balance', async t => {
  const stores = await billingStores(t)
  const events = place([ratedEvent(), ratedEvent()])
  await stores.usage.post([message(events, 1, 2)], unrated)
  await assert.rejects(
    sql`insert into usage_batches (series_no, first, last, content) values (1, 2, 5, '')`.execute(stores.db),
    /exclusion constraint/,
  )
  await assert.rejects(
    sql`update ledger_entries set amount_nano_usd = amount_nano_usd + 1 where transaction_id = 1`.execute(stores.db),
    /does not balance/,
  )
})

test('a crash between commit and acknowledgement posts nothing twice, and gateways hear how far it is', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const { nats, bus } = env
  const admin = { connection: nats.admin }
  const sent = [
    ...(await publishUsage(admin, range(1, 3), [ratedEvent(), ratedEvent(), ratedEvent()])),
    ...(await publishUsage(admin, range(4, 4), [ratedEvent()])),
  ]
  let crashes = 0
  await runConsumer(env, stores, async handle => {
    await handle()
    if (++crashes <= 2) throw new Error('ended after the commit')
  })
  await eventually(() => crashes > 2)
  await publishUsage(admin, range(1, 4), sent)
  sent.push(...(await publishUsage(admin, range(5, 5), [ratedEvent()])))
  const marks = await openBucket(bus, 'marks', Mark)
  const mark = await eventually(async () => {
    const found = await marks.get(seriesKey(series))
    return found?.contiguous === 5 && found
  })
  assert.equal(mark.last, 5)
  assert.equal(await stores.sumLedger(), sumOf(sent))
})

test('a failed transaction changes nothing, and the same messages come again', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const { nats } = env
  const sent = await publishUsage({ connection: nats.admin }, range(1, 2), [ratedEvent(), ratedEvent()])
  await sql`alter table ledger_entries rename to hidden`.execute(stores.db)
  let failures = 0
  await runConsumer(env, stores, async handle => {
    await handle().catch(async error => {
      failures += 1
      assert.deepEqual(await stores.usage.listMarks(), [])
      await sql`alter table hidden rename to ledger_entries`.execute(stores.db)
      throw error
    })
  })
  await eventually(async () => (await stores.sumLedger()) === sumOf(sent))
  assert.equal(failures, 1)
})

test('what cannot be read becomes a dead letter once, counts as received, and holds up nothing', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const { nats } = env
  const admin = { connection: nats.admin }
  const good = place([ratedEvent(), ratedEvent(), ratedEvent(), ratedEvent(), ratedEvent()])
  const [one, , three, , five] = good
  assert.ok(one && three && five)
  // A broken line between good ones; too few lines; no range at all.
  const lines = [UsageRecorded.encode(one), '{"event_id": 7}', UsageRecorded.encode(three)].join('\n')
  for (let times = 0; times < 2; times++) {
    await publishUsageBody(admin, range(1, 3), `${lines}\n`)
    await publishUsageBody(admin, range(4, 4), '')
    nats.admin.publish('usage.recorded.v1.3', 'nonsense')
  }
  await publishUsage(admin, range(5, 5), [five])
  await runConsumer(env, stores)
  await eventually(async () => (await stores.sumLedger()) === sumOf([one, three, five]))
  await eventually(async () => (await stores.usage.listMarks())[0]?.contiguous === 5)
  const letters = await stores.db
    .selectFrom('dead_letters')
    .select(['first', 'last', 'reason'])
    .orderBy('first')
    .execute()
  assert.deepEqual(
    letters.map(letter => [letter.first, letter.last, letter.reason.split(':')[0]]),
    [
      ['2', '2', 'malformed event'],
      ['4', '4', 'line count'],
      [null, null, 'header Sluice-Gateway'],
    ],
  )
})

test('an event that the store refuses is a dead letter alone, and everything around it is posted', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const admin = { connection: env.nats.admin }
  const events = place([
    ratedEvent(),
    ratedEvent({ provider: 'open\u0000ai', cost_nano_usd: 1 }),
    ratedEvent({ requested_model: 'gpt-\ud800' }),
    ratedEvent({ price_book_id: 'book\u0000' }),
    ratedEvent({ cost_nano_usd: 1e300 }),
    ratedEvent({ settlement_key: 'batch/\u0000' }),
    ratedEvent(),
    ratedEvent(),
  ])
  await publishUsage(admin, range(1, 3), events.slice(0, 3))
  await publishUsage(admin, range(4, 7), events.slice(3, 7))
  await publishStored(
    env.nats.admin,
    GatewayEpochClosed.subject(),
    GatewayEpochClosed.encode({
      gateway_id: 'gw_a',
      epoch: 1,
      last: [0, 0, 0, 8, 0, 0, 0, 0],
      closed_by: 'gw_a',
      closed_at_ms: 1,
    }),
  )
  await publishUsage(admin, range(8, 8), events.slice(7))
  await runConsumer(env, stores)
  await eventually(async () => (await stores.usage.listMarks()).some(mark => mark.contiguous === 8))
  const good = [events[0], events[2], events[6], events[7]].flatMap(event => event ?? [])
  assert.equal(await stores.sumLedger(), sumOf(good))
  const letters = await stores.db.selectFrom('dead_letters').selectAll().orderBy('first').execute()
  assert.deepEqual(
    letters.map(letter => [letter.first, letter.last]),
    [2, 4, 5, 6].map(number => [`${number}`, `${number}`]),
  )
  for (const letter of letters) {
    assert.match(letter.reason, /^refused event: refused by the store: 22/)
    assert.equal(JSON.parse(letter.content.toString()).event_id, events[Number(letter.first) - 1]?.event_id)
  }
  const store = deadLetterStore(stores.db)
  for (const letter of letters) {
    await store.findPriceBookIds(letter.dead_letter_id)
    const outcome = await store.replay(letter.dead_letter_id, event => checkRating(event, () => undefined))
    assert.equal(outcome, 'unreadable')
  }
})

test('a mark that was lost is written again when its series comes again', async t => {
  const stores = await billingStores(t)
  const [event] = place([ratedEvent()])
  assert.ok(event)
  await stores.usage.post([message([event], 1, 1)], unrated)
  const again = await stores.usage.post([message([event], 1, 1)], unrated)
  assert.deepEqual([again.events, again.marks], [0, [{ series: range(1, 1), last: 1, contiguous: 1 }]])
})

test('a dead letter that can be read by now is posted once, past the marks', async t => {
  const stores = await billingStores(t)
  const letters = deadLetterStore(stores.db)
  const project = randomUUID()
  const events = place([
    ratedEvent({ identity: { project_id: project } }),
    ratedEvent({ identity: { project_id: project } }),
  ])
  const [, second] = events
  assert.ok(second)
  const [broken, whole] = [message([second, { ...second, seq: 9 }], 2, 2), message(events, 1, 1)]
  await stores.usage.post([whole, broken], unrated)
  const [letter] = await letters.list(10)
  assert.ok(letter)
  assert.equal(await letters.replay(letter.dead_letter_id, () => undefined), 'unreadable')
  // A version of the program that understands the line sees the event in its place.
  await stores.db
    .updateTable('dead_letters')
    .set({ content: Buffer.from(UsageRecorded.encode(second)) })
    .execute()
  const outcomes = await Promise.all([1, 2].map(() => letters.replay(letter.dead_letter_id, () => undefined)))
  assert.deepEqual(outcomes.sort(), ['posted', 'unknown'])
  assert.equal(await letters.count(), 0)
  assert.equal(await stores.sumLedger(), sumOf(events))
  assert.equal((await stores.ledger.findBalance(project)).costNanoUsd, sumOf(events))
})

test('an event that names another place than its message is not posted', async t => {
  const stores = await billingStores(t)
  const [event] = place([ratedEvent()])
  assert.ok(event)
  const posted = await stores.usage.post([message([{ ...event, seq: 2 }], 1, 1)], unrated)
  assert.equal(posted.events, 0)
  assert.match(posted.deadLetters[0]?.reason ?? '', /wrong place/)
})

test('what two gateways settle under one key is posted once', async t => {
  const stores = await billingStores(t)
  const first = ratedEvent({ settlement_key: 'resp_1' })
  const again = ratedEvent({ settlement_key: 'resp_1', identity: first.identity })
  const elsewhere = ratedEvent({ settlement_key: 'resp_1' })
  // The id of such an event is made from its key: another gateway sends the very same one.
  const [a, b, c, d] = place([first, again, elsewhere, first])
  assert.ok(a && b && c && d)
  const posted = await stores.usage.post([message([a, b, c, d], 1, 4)], unrated)
  assert.deepEqual([posted.events, posted.duplicates], [2, 2])
  assert.equal(await stores.sumLedger(), sumOf([a, c]))
})

test('a stamped cost that the price book does not confirm is posted as stamped, recorded and alarmed', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const { nats } = env
  const good = ratedEvent()
  const dear = ratedEvent()
  const [line] = dear.line_items
  assert.ok(line)
  const wrong = {
    ...dear,
    line_items: [{ ...line, cost_nano_usd: line.cost_nano_usd + 5 }, ...dear.line_items.slice(1)],
  }
  const stray = ratedEvent({ price_book_id: 'pb_unknown' })
  const sent = await publishUsage({ connection: nats.admin }, range(1, 4), [
    good,
    { ...wrong, cost_nano_usd: dear.cost_nano_usd + 5 },
    { ...wrong, event_id: randomUUID() },
    stray,
  ])
  await runConsumer(env, stores)
  await eventually(async () => (await stores.sumLedger()) === sumOf(sent))
  const rows = await stores.db.selectFrom('rating_differences').selectAll().execute()
  assert.deepEqual(
    rows.map(row => [row.reason, row.stamped_nano_usd, row.recomputed_nano_usd]).sort(),
    [
      ['different_cost', String(dear.cost_nano_usd + 5), String(dear.cost_nano_usd)],
      ['lines_do_not_add_up', String(dear.cost_nano_usd), null],
      ['unknown_price_book', String(stray.cost_nano_usd), null],
    ].sort(),
  )
  assert.equal(good.price_book_id, bookId)
})

test('an event that comes 35 days after its admission is posted now, to its own hour, and named as late, once', async t => {
  const stores = await billingStores(t)
  const day = 24 * 60 * 60 * 1_000
  const old = Date.now() - 36 * day
  const events = place([
    ratedEvent({ admitted_at_ms: old, finished_at_ms: old + 1_000 }),
    ratedEvent({ admitted_at_ms: old + 2 * day, finished_at_ms: old + 2 * day }),
  ])
  for (const last of [1, 2, 2]) await stores.usage.post([message(events, 1, last)], unrated)
  const [late] = events
  const { count, late_events } = await listLateEvents(stores.db, 10)
  assert.deepEqual(
    [count, late_events[0]?.event_id, late_events[0]?.project_id, late_events[0]?.cost_nano_usd],
    [1, late?.event_id, late?.identity.project_id, String(late?.cost_nano_usd)],
  )
  assert.equal(late_events[0]?.admitted_at.getTime(), old)
  // What was spent is never refused: it is in the ledger's open period, and in the hour in which it was admitted.
  assert.equal(await stores.sumLedger(), sumOf(events))
  const [transaction] = await stores.db.selectFrom('ledger_transactions').select('posted_at').execute()
  assert.ok(Date.now() - (transaction?.posted_at.getTime() ?? 0) < day)
  const hours = await stores.db.selectFrom('usage_hours').select('hour').orderBy('hour').execute()
  assert.equal(hours[0]?.hour.getTime(), old - (old % 3_600_000))
})

test('an epoch is complete when it is closed and nothing of it is missing', async t => {
  const stores = await billingStores(t)
  const events = place([ratedEvent(), ratedEvent(), ratedEvent()])
  const closed = {
    gateway_id: 'gw_a',
    epoch: 1,
    last: [0, 0, 0, 3, 0, 0, 0, 0],
    closed_by: 'gw_a',
    closed_at_ms: 1,
  }
  const close = readMessage('gateway.epoch-closed.v1', Buffer.from(JSON.stringify(closed)), () => range(1, 1))
  await stores.usage.post([message(events, 1, 2), close], unrated)
  const missing = (await stores.usage.listCompleteness()).filter(one => !one.complete)
  assert.deepEqual(
    missing.map(one => [one.partition, one.gaps]),
    [[3, [[3, 3]]]],
  )
  await stores.usage.post([message(events, 3, 3)], unrated)
  assert.ok((await stores.usage.listCompleteness()).every(one => one.complete))
})

test('a database that is restored reads again what was acknowledged after its backup', async t => {
  const env = await billingBus(t)
  const { nats, bus } = env
  const before = await billingStores(t)
  const { close } = await runConsumer(env, before)
  const sent = [
    ...(await publishUsage({ connection: nats.admin }, range(1, 2), [ratedEvent(), ratedEvent()])),
    ...(await publishUsage({ connection: nats.admin }, range(3, 3), [ratedEvent()])),
  ]
  await eventually(async () => (await before.sumLedger()) === sumOf(sent))
  await close()
  const restored = await billingStores(t)
  const handle = await billingHandler(env, restored)
  assert.equal(await restored.sumLedger(), 0n)
  assert.equal(await readMissedUsage(bus, { usage: restored.usage, handle, log }), 2)
  assert.equal(await restored.sumLedger(), sumOf(sent))
  // Nothing is missing now: nothing is read.
  assert.equal(await readMissedUsage(bus, { usage: restored.usage, handle, log }), 0)
})

test('billing confirms the cost that the gateway stamped', () => {
  const event = ratedEvent({ quantities: { in_text: 1234, in_cache_read: 77, out_text: 55, out_reasoning: 5 } })
  assert.equal(
    checkRating(event, id => (id === bookId ? priceBook : undefined)),
    undefined,
  )
  assert.equal(checkRating(event, () => undefined)?.reason, 'unknown_price_book')
})
