import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { UsageAdjusted, type UsageAdjustedData, type UsageRecordedData } from '@sluice/contracts'
import { enqueue, listWaitingEntries, type SendOutboxEntry, startOutboxRelay } from '@sluice/postgres'
import { answerErrors } from '@sluice/runtime'
import { eventually, type TestScope } from '@sluice/test-env'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { createOutboxPublisher } from '../src/outbox-publisher.ts'
import { priceBookShelf } from '../src/price-books.ts'
import { readMessage } from '../src/received-message.ts'
import { adjustments } from '../src/routes/adjustments.ts'
import { type BillingStores, billingBus, billingStores, bookId, log, ratedEvent, sumOf } from './billing-env.ts'

const project = randomUUID()

async function post(
  stores: BillingStores,
  events: readonly UsageRecordedData[],
  first = 1,
): Promise<UsageRecordedData[]> {
  const placed = events.map((event, index) => ({
    ...event,
    gateway_id: 'gw_a',
    epoch: 1,
    partition: 3,
    seq: first + index,
  }))
  const range = { gatewayId: 'gw_a', epoch: 1, partition: 3, first, last: first + events.length - 1 }
  const body = placed.map(event => `${JSON.stringify(event)}\n`).join('')
  const message = readMessage('usage.recorded.v1.3', Buffer.from(body), () => range)
  await stores.usage.post([message], { streamSeq: 1, checkRating: () => undefined })
  return placed
}

/** A UUIDv7 of this moment: where the search in the log begins. */
function eventId(atMs = Date.now()): string {
  const time = atMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`
}

const of = (more: Parameters<typeof ratedEvent>[0] = {}) =>
  ratedEvent({ event_id: eventId(), identity: { project_id: project }, ...more })

/** The operator's routes on these stores. */
async function operator(t: TestScope, stores: BillingStores, onAdjusted = () => {}) {
  const app = Fastify({ ajv: { customOptions: { removeAdditional: false } } })
  t.after(() => app.close())
  answerErrors(app, log)
  adjustments(app, {
    adjustments: stores.adjustments,
    log: stores.log,
    shelf: priceBookShelf(stores.priceBooks),
    onAdjusted,
    nowMs: Date.now,
    logger: log,
  })
  return {
    adjust: async (event: UsageRecordedData, more: object) => {
      const payload = {
        project_id: project,
        event_id: event.event_id,
        reason: 'provider credit note',
        actor: 'ops@example.com',
      }
      const answer = await app.inject({ method: 'POST', url: '/adjustments', payload: { ...payload, ...more } })
      return { status: answer.statusCode, body: answer.json<UsageAdjustedData & { error?: { code: string } }>() }
    },
    list: async () => (await app.inject('/adjustments')).json<{ adjustments: { reason: string; actor: string }[] }>(),
  }
}

test('a correction posts new rows that name the old ones, and changes nothing that was posted', async t => {
  const stores = await billingStores(t)
  const events = await post(stores, [of(), of({ paid_by: 'seat' }), of()])
  const [event, seat] = events
  assert.ok(event && seat)
  const before = (await sql`select * from ledger_transactions order by transaction_id`.execute(stores.db)).rows
  const { adjust, list } = await operator(t, stores)

  const first = await adjust(event, { quantities: { in_text: 1_000, out_text: 20 } })
  assert.equal(first.status, 201)
  assert.deepEqual([first.body.seq, first.body.version], [1, 1])
  assert.equal(first.body.difference_nano_usd, first.body.cost_nano_usd - event.cost_nano_usd)
  const second = await adjust(event, { quantities: {} })
  assert.deepEqual([second.body.seq, second.body.version, second.body.cost_nano_usd], [2, 2, 0])
  assert.equal(second.body.difference_nano_usd, -first.body.cost_nano_usd)
  const third = await adjust(seat, { quantities: { in_text: 1 } })
  assert.deepEqual([third.body.seq, third.body.version], [3, 1])

  const { rows } = await sql<{ transaction_id: string; adjusts: string | null }>`
    select * from ledger_transactions order by transaction_id`.execute(stores.db)
  assert.deepEqual(rows.slice(0, before.length), before)
  assert.deepEqual(
    rows.slice(before.length).map(row => row.adjusts),
    Array.from({ length: 3 }, () => rows[0]?.transaction_id),
  )
  const total =
    sumOf(events) +
    BigInt(first.body.difference_nano_usd + second.body.difference_nano_usd + third.body.difference_nano_usd)
  const { costNanoUsd, chargedNanoUsd } = await stores.ledger.findBalance(project)
  assert.equal(costNanoUsd, total)
  assert.equal(await stores.sumLedger(), total)
  assert.equal(chargedNanoUsd, total - BigInt(third.body.cost_nano_usd))
  const hours = await stores.hours.list(0, Date.now() + 3_600_000)
  assert.equal(
    hours.reduce((sum, hour) => sum + hour.costNanoUsd, 0n),
    total,
  )
  assert.deepEqual(await stores.hours.listUnbalanced(), [])
  assert.deepEqual(
    (await list()).adjustments.map(({ reason, actor }) => [reason, actor]),
    Array.from({ length: 3 }, () => ['provider credit note', 'ops@example.com']),
  )
})

test('corrections are numbered without gaps by any number of operators at once, and published in that order', async t => {
  const stores = await billingStores(t)
  const env = await billingBus(t)
  const events = await post(
    stores,
    Array.from({ length: 12 }, () => of()),
  )
  const send = createOutboxPublisher(env.bus)
  let sent = 0
  // Ended after the stream has it and before the outbox forgets it, each third time.
  const breaking: SendOutboxEntry = async entry => {
    await send(entry)
    if (++sent % 3 === 0 && sent < 12) throw new Error('ended after the send')
  }
  const relay = startOutboxRelay(stores.db, breaking, { log, retryMs: 50 })
  env.defer(() => relay.close())
  const { adjust } = await operator(t, stores, () => void relay.flush())
  const done = await Promise.all(events.map((event, index) => adjust(event, { quantities: { in_text: index + 1 } })))
  assert.deepEqual(
    done.map(({ body }) => body.seq).sort((a, b) => a - b),
    events.map((_, index) => index + 1),
  )
  await eventually(async () => {
    const { rows } = await sql<{ left: number }>`select count(*)::int as left from outbox`.execute(stores.db)
    return rows[0]?.left === 0
  })
  const manager = await jetstreamManager(env.nats.admin)
  const numbers: number[] = []
  const { state } = await manager.streams.info('USAGE')
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage('USAGE', { seq })
    if (message) numbers.push(UsageAdjusted.decode(message.data).seq)
  }
  assert.deepEqual(
    numbers,
    events.map((_, index) => index + 1),
  )
})

test('what cannot be corrected is refused, says why, and posts nothing', async t => {
  const stores = await billingStores(t)
  const settled = of({ event_id: randomUUID(), settlement_key: 'batch_1/a' })
  const [event, first] = await post(stores, [of(), settled])
  assert.ok(event && first)
  // The very same event from another gateway: in the log, and posted once.
  await post(stores, [{ ...settled, event_id: settled.event_id }], 10)
  const { adjust } = await operator(t, stores)
  const refusal = async (target: UsageRecordedData, more: object) => {
    const { status, body } = await adjust(target, more)
    return [status, body.error?.code]
  }
  assert.deepEqual(await refusal(of(), { quantities: {} }), [404, 'event_not_found'])
  assert.deepEqual(await refusal(event, { project_id: randomUUID(), quantities: {} }), [404, 'event_not_found'])
  assert.deepEqual(await refusal(event, {}), [409, 'nothing_to_adjust'])
  assert.deepEqual(await refusal(event, { price_book_id: 'unheard-of' }), [409, 'unknown_price_book'])
  assert.deepEqual(await refusal(event, { price_book_id: bookId }), [409, 'nothing_to_adjust'])
  assert.deepEqual(await refusal(event, { quantities: { in_text: -1 } }), [400, 'invalid_request'])
  assert.deepEqual(await refusal(event, { quantities: {}, reason: '' }), [400, 'invalid_request'])
  assert.deepEqual(await refusal(event, { quantities: {}, cost_nano_usd: 5 }), [400, 'invalid_request'])
  assert.deepEqual(await refusal(event, { quantities: { videos: 3 } }), [400, 'invalid_request'])
  assert.equal(await stores.sumLedger(), sumOf([event, first]))
  // An event whose id has no time is found all the same, and the one that is posted is meant.
  assert.equal((await adjust(first, { quantities: {} })).status, 201)
  assert.equal(await stores.sumLedger(), sumOf([event]))
})

test('an event that is a dead letter cannot be corrected until it counts', async t => {
  const stores = await billingStores(t)
  const [event] = await post(stores, [of(), of()])
  assert.ok(event)
  await sql`insert into dead_letters (fingerprint, gateway_id, epoch, partition, first, last, reason, content)
    values ('x', 'gw_a', 1, 3, 1, 1, 'refused event', '')`.execute(stores.db)
  const { adjust } = await operator(t, stores)
  assert.equal((await adjust(event, { quantities: {} })).body.error?.code, 'event_not_posted')
})

test('whoever joins while messages are sent waits until their own is sent, although more keep coming', async t => {
  const stores = await billingStores(t)
  const add = (key: string) =>
    stores.db.transaction().execute(trx => enqueue(trx, [{ kind: 'event', target: 'none', key, payload: '{}' }]))
  const sent: string[] = []
  const began = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  let isEnough = false
  const relay = startOutboxRelay(
    stores.db,
    async ({ key }) => {
      if (key === 'first') {
        began.resolve()
        await held.promise
      }
      sent.push(key)
      if (isEnough) return
      await add(`more ${sent.length}`)
      void relay.flush()
    },
    { log, retryMs: 3_600_000 },
  )
  t.after(() => {
    isEnough = true
    return relay.close()
  })
  await add('first')
  const first = relay.flush()
  await began.promise
  await add('mine')
  const mine = relay.flush()
  held.resolve()
  const deadline = new AbortController()
  t.after(() => deadline.abort())
  const late = setTimeout(10_000, 'late', { signal: deadline.signal }).catch(() => 'late')
  assert.equal(await Promise.race([first, late]), undefined)
  const before = sent.length
  assert.equal(await Promise.race([mine, late]), undefined)
  isEnough = true
  assert.ok(before <= 2 && sent.includes('mine'), sent.join())
})

test('what is sent apart holds up nothing else, keeps its own order, and is counted while it waits', async t => {
  const stores = await billingStores(t)
  const sent: string[] = []
  let isTaken = false
  const relay = startOutboxRelay(
    stores.db,
    async ({ target, key }) => {
      if (target === 'trail' && !isTaken) throw new Error('the stream is full')
      sent.push(key)
    },
    { log, retryMs: 50, apart: ['trail'] },
  )
  t.after(() => relay.close())
  const entry = (target: string, key: string) => ({ kind: 'event' as const, target, key, payload: '{}' })
  const trail = Array.from({ length: 150 }, (_, at) => `t${at}`)
  await stores.db.transaction().execute(async trx => {
    await enqueue(trx, [...trail.map(key => entry('trail', key)), entry('state', 's0'), entry('other', 's1')])
  })
  await relay.flush()
  assert.deepEqual(sent, ['s0', 's1'])
  const waiting = await listWaitingEntries(stores.db, ['trail'])
  assert.deepEqual(
    waiting.map(({ lane, entries, oldestAgeMs }) => [lane, entries, oldestAgeMs > 0]),
    [
      ['', 0, false],
      ['trail', 150, true],
    ],
  )
  isTaken = true
  await eventually(() => sent.length === 152)
  assert.deepEqual(sent.slice(2), trail)
})

test('documents under different keys are sent together, those of one key and events each behind the one before', async t => {
  const stores = await billingStores(t)
  const entry = (kind: 'event' | 'kv-put', key: string, payload: string) => ({ kind, target: 'none', key, payload })
  const steps: string[] = []
  let fails = true
  const relay = startOutboxRelay(
    stores.db,
    async ({ key, payload }) => {
      steps.push(`+${key}${payload}`)
      await setTimeout(20)
      if (key === 'b' && fails) {
        fails = false
        throw new Error('the bus is away')
      }
      steps.push(`-${key}${payload}`)
    },
    { log, retryMs: 3_600_000 },
  )
  t.after(() => relay.close())
  await stores.db
    .transaction()
    .execute(trx =>
      enqueue(trx, [
        entry('kv-put', 'a', '1'),
        entry('kv-put', 'b', '1'),
        entry('kv-put', 'a', '2'),
        entry('event', 'c', '1'),
        entry('event', 'd', '1'),
      ]),
    )
  await relay.flush()
  assert.deepEqual(steps.splice(0), ['+a1', '+b1', '-a1'], 'what comes behind a failure waits')
  await relay.flush()
  assert.deepEqual(steps.slice(0, 2), ['+a1', '+b1'])
  assert.deepEqual(steps.slice(2, 4).sort(), ['-a1', '-b1'])
  assert.deepEqual(steps.slice(4), ['+a2', '-a2', '+c1', '-c1', '+d1', '-d1'])
})
