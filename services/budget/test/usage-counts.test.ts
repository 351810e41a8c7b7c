import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { consumeBatches } from '@sluice/bus'
import {
  adjustmentSeries,
  type GatewayEpochClosedData,
  PARTITIONS,
  partitionOf,
  rangeId,
  type UsageAdjustedData,
  UsageRecorded,
  type UsageRecordedData,
} from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import { listCompleteness } from '@sluice/postgres'
import { eventually, makeUsageEvent, publishStored, publishUsage, publishUsageBody } from '@sluice/test-env'
import fc from 'fast-check'
import type { CountedBudget } from '../src/budget.ts'
import { createBudget } from '../src/budget-change-store.ts'
import { sumFacts } from '../src/spend-fact-store.ts'
import type { UsageMessage } from '../src/usage-message.ts'
import { applyUsage, replayDeadLetter } from '../src/usage-store.ts'
import { rebuildWindows } from '../src/window-rebuild-store.ts'
import { fileScope, openStores, startService } from './budget-service.ts'

const stores = await openStores(fileScope)
const { db } = stores
const actor = { kind: 'member', id: 'mem_admin' } as const
const now = Date.now()
let budgets = 0

async function newBudget(overrides: Partial<CountedBudget> = {}): Promise<CountedBudget & { projectId: string }> {
  const projectId = overrides.projectId ?? randomUUID()
  const { budget } = await createBudget(
    db,
    {
      budget_id: `bud_${++budgets}`,
      version: 1,
      name: 'Spend',
      account_id: 'acct_test',
      scope: { project: projectId, ...overrides.scope },
      unit: 'usd',
      limit: 1_000_000_000,
      window: 'total',
      time_zone: 'UTC',
      mode: 'soft',
      on_unknown: 'deny',
      created_at_ms: now,
      thresholds: [],
      forecastAlert: false,
      projectId,
      ...overrides,
    },
    'window',
    actor,
  )
  return { ...budget, projectId }
}

let streamSeq = 0
/** A message as the consumer reads it, carrying `first..` of a series of its own gateway. */
function messageOf(gatewayId: string, first: number, events: UsageRecordedData[]): UsageMessage {
  const partition = events[0]?.partition ?? 0
  const place = { gateway_id: gatewayId, epoch: 1, partition }
  const lines = events.map((event, index) => JSON.stringify({ ...event, ...place, seq: first + index }))
  return {
    kind: 'recorded',
    streamSeq: ++streamSeq,
    subject: UsageRecorded.subject(partition),
    range: { gatewayId, epoch: 1, partition, first, last: first + events.length - 1 },
    body: new TextEncoder().encode(`${lines.join('\n')}\n`),
  }
}

const apply = (...messages: UsageMessage[]) => applyUsage(db, messages, windowAt, now)

async function spentOf(budget: CountedBudget): Promise<bigint> {
  const rows = await db.selectFrom('budget_windows').select('spent').where('budget_id', '=', budget.budget_id).execute()
  return rows.reduce((sum, row) => sum + BigInt(row.spent), 0n)
}

const eventOf = (budget: { projectId: string }, overrides: Partial<UsageRecordedData> = {}) =>
  makeUsageEvent({ cost_nano_usd: 1_000, ...overrides, identity: { project_id: budget.projectId } })

test('events that come again, in other batches and other borders, count once', async () => {
  const budget = await newBudget()
  const events = Array.from({ length: 10 }, (_, index) => eventOf(budget, { cost_nano_usd: 10 ** index }))
  const part = (first: number, last: number) => messageOf('gw_borders', first, events.slice(first - 1, last))
  await apply(part(1, 4))
  await apply(part(1, 4), part(3, 6))
  await apply(part(9, 10))
  await apply(part(5, 8), part(2, 10))
  await apply(part(1, 10))
  assert.equal(await spentOf(budget), 1_111_111_111n)
})

test('a budget of an account counts usage of all its projects, also what came before, and of no other account', async () => {
  const accountId = `acct_${randomUUID()}`
  const project = await newBudget({ account_id: accountId })
  const of = (account: string, projectId: string, cost: number): UsageRecordedData =>
    makeUsageEvent({ cost_nano_usd: cost, identity: { account_id: account, project_id: projectId } })
  await apply(messageOf('gw_spans', 1, [of(accountId, project.projectId, 7)]))
  const { budget } = await createBudget(
    db,
    { ...project, budget_id: 'bud_spans', scope: { account: accountId }, projectId: undefined, limit: 100 },
    'window',
    actor,
  )
  const { budget: each } = await createBudget(
    db,
    { ...budget, budget_id: 'bud_spans_each', per: 'project', created_at_ms: now },
    'window',
    actor,
  )
  assert.deepEqual([await spentOf(budget), await spentOf(each)], [7n, 7n])
  await apply(messageOf('gw_spans', 2, [of(accountId, randomUUID(), 20)]))
  const other = await apply(messageOf('gw_spans', 3, [of('acct_other', randomUUID(), 1_000)]))
  assert.deepEqual([other.cutoffs, await spentOf(budget), await spentOf(project)], [[], 27n, 7n])
  const crossed = await apply(messageOf('gw_spans', 4, [of(accountId, randomUUID(), 80)]))
  assert.deepEqual(
    crossed.cutoffs.map(({ budget_id, project_id, copy }) => [budget_id, project_id, copy]),
    [['bud_spans', undefined, '']],
  )
  const parent = { accountId, projectId: undefined }
  await db.deleteFrom('budget_windows').where('budget_id', '=', budget.budget_id).execute()
  assert.equal((await rebuildWindows(db, parent, budget.budget_id, windowAt, now, 0)).corrected, 1)
  assert.equal(await spentOf(budget), 107n)
})

test('a budget by what calls claim counts theirs alone, also of what came before', async () => {
  const project = await newBudget()
  const of = (claimed: UsageRecordedData['claimed'], cost: number) => ({
    ...eventOf(project, { cost_nano_usd: cost }),
    claimed,
  })
  const events = [
    of({ app: 'codex', tags: { ticket: 'T-1' } }, 1),
    of({ app: 'codex', session_id: 's1', agent_id: 'a1' }, 10),
    of({ tags: { ticket: 'T-1' } }, 100),
    of({}, 1_000),
  ]
  const scopes = [
    { app: 'codex' },
    { app: 'unknown' },
    { app: 'codex', session: 's1', agent: 'a1' },
    { tag: 'ticket=T-1' },
  ]
  const named = (scope: object) => ({ project: project.projectId, ...scope })
  const before = await Promise.all(
    scopes.map(scope => newBudget({ projectId: project.projectId, scope: named(scope) })),
  )
  await apply(messageOf('gw_claims', 1, events))
  const after = await Promise.all(scopes.map(scope => newBudget({ projectId: project.projectId, scope: named(scope) })))
  const expected = [11n, 1_100n, 10n, 101n]
  for (const budgets of [before, after]) assert.deepEqual(await Promise.all(budgets.map(spentOf)), expected)
})

test('two instances that apply batches at once count each event once and cut once', async () => {
  const budget = await newBudget({ limit: 20_000 })
  const events = Array.from({ length: 40 }, () => eventOf(budget))
  const results = await Promise.all(
    [1, 11, 21, 31].flatMap(first => {
      const message = messageOf('gw_twin', first, events.slice(first - 1, first + 9))
      return [apply(message), apply(message)]
    }),
  )
  assert.equal(await spentOf(budget), 40_000n)
  assert.equal(results.flatMap(result => result.cutoffs).length, 1)
})

test('a process that ends between commit and ack counts nothing twice', async t => {
  const budget = await newBudget()
  const gateway = await stores.connectAs('gateway')
  const bus = await stores.connectAs('budget')
  let commits = 0
  const read = (body: Uint8Array, first: number, last: number): UsageMessage => ({
    kind: 'recorded',
    streamSeq: ++streamSeq,
    subject: UsageRecorded.subject(0),
    range: { gatewayId: 'gw_crash', epoch: 1, partition: 0, first, last },
    body,
  })
  const consumer = await consumeBatches(bus, 'budget-windows', {
    log: stores.log,
    handle: async messages => {
      for (const message of messages) {
        const number = Number(message.headers?.get('Sluice-First'))
        await apply(read(message.data, number, number + 1))
      }
      if (++commits === 1) throw new Error('killed after the commit')
    },
  })
  t.after(() => consumer.close())
  for (const first of [1, 3]) {
    const range = { gatewayId: 'gw_crash', epoch: 1, partition: 0, first, last: first + 1 }
    await publishUsage(gateway, range, [eventOf(budget), eventOf(budget)])
  }
  await eventually(async () => commits >= 2 && (await spentOf(budget)) === 4_000n)
  await consumer.close()
  assert.equal(await spentOf(budget), 4_000n)
})

test('what two gateways settle under one key counts once', async () => {
  const budget = await newBudget()
  const event = { ...eventOf(budget), settlement_key: 'batch_1/row_1' }
  await apply(messageOf('gw_poller1', 1, [event]))
  await apply(messageOf('gw_poller2', 1, [event]))
  await apply(messageOf('gw_poller3', 1, [{ ...event, event_id: randomUUID() }]))
  assert.equal(await spentOf(budget), 1_000n)
})

test('an adjustment changes the window of its admission by the difference, once, and may lift a cutoff', async () => {
  const budget = await newBudget({ limit: 5_000 })
  const event = eventOf(budget, { cost_nano_usd: 9_000 })
  const adjustment: UsageAdjustedData = {
    seq: 1,
    event_id: event.event_id,
    version: 1,
    project_id: budget.projectId,
    account_id: 'acct_test',
    admitted_at_ms: event.admitted_at_ms,
    adjusted_at_ms: now,
    reason: 'reconciled with the provider',
    price_book_id: 'book',
    quantities: {},
    line_items: [],
    cost_nano_usd: 4_000,
    difference_nano_usd: -5_000,
  }
  const adjusted = (seq: number, change: Partial<UsageAdjustedData> = {}): UsageMessage => ({
    kind: 'adjusted',
    streamSeq: ++streamSeq,
    subject: 'usage.adjusted.v1',
    adjustment: { ...adjustment, seq, ...change },
  })
  const cut = await apply(messageOf('gw_adjusted', 1, [event]))
  assert.deepEqual(
    cut.cutoffs.map(cutoff => cutoff.active),
    [true],
  )
  const lifted = await apply(adjusted(1), adjusted(1))
  assert.deepEqual(
    lifted.cutoffs.map(cutoff => [cutoff.active, cutoff.version]),
    [[false, 2]],
  )
  await apply(adjusted(1), adjusted(2))
  assert.equal(await spentOf(budget), 4_000n)
  const unknown = await apply(adjusted(3, { event_id: randomUUID() }))
  assert.equal(unknown.deadLetters, 1)
})

test('what cannot be decoded is put aside with its reason, once, and holds nothing up', async () => {
  const budget = await newBudget()
  const good = eventOf(budget)
  const message = messageOf('gw_broken', 1, [good, eventOf(budget), good])
  assert.equal(message.kind, 'recorded')
  if (message.kind !== 'recorded') return
  const lines = new TextDecoder().decode(message.body).split('\n')
  lines[1] = '{"event_id": 7}'
  const broken = { ...message, body: new TextEncoder().encode(lines.join('\n')) }
  const short = { ...messageOf('gw_broken', 4, [good, good]), body: new TextEncoder().encode('{}\n') }
  const nameless: UsageMessage = {
    kind: 'unreadable',
    streamSeq: 999_999,
    subject: 'usage.recorded.v1.0',
    reason: 'header Sluice-Gateway: missing',
    body: new Uint8Array([0]),
  }
  await apply(broken, short, nameless)
  await apply(nameless, short, broken)
  assert.equal(await spentOf(budget), 1_000n)
  const letters = await db
    .selectFrom('dead_letters')
    .select(['series', 'first', 'last', 'reason'])
    .where(eb => eb.or([eb('series', 'like', 'gw_broken%'), eb('series', 'is', null)]))
    .orderBy('id')
    .execute()
  assert.deepEqual(
    letters.map(letter => [letter.series?.split('.')[0] ?? null, letter.first, letter.last]),
    [
      ['gw_broken', '2', '2'],
      ['gw_broken', '4', '5'],
      [null, null, null],
    ],
  )
  for (const letter of letters) assert.notEqual(letter.reason, '')
})

test('an event that the store refuses is a dead letter alone, and everything around it counts', async t => {
  const budget = await newBudget()
  const gateway = await stores.connectAs('gateway')
  const service = await startService(t, stores)
  const partition = partitionOf(budget.projectId)
  const part = (first: number, last: number) => ({ gatewayId: 'gw_poison', epoch: 1, partition, first, last })
  const participant = (name: string) => ({
    ...eventOf(budget),
    identity: { ...eventOf(budget).identity, participant: name },
  })
  await publishUsage(gateway, part(1, 3), [eventOf(budget), participant('Ann\u0000'), eventOf(budget)])
  await publishUsage(gateway, part(4, 4), [eventOf(budget, { requested_model: 'gpt-\ud800' })])
  await publishUsage(gateway, part(5, 8), [
    eventOf(budget, { cost_nano_usd: 1e300 }),
    eventOf(budget, { admitted_at_ms: 1e300 }),
    eventOf(budget, { settlement_key: 'batch/\u0000' }),
    eventOf(budget),
  ])
  const adjustment: UsageAdjustedData = {
    seq: 70,
    event_id: randomUUID(),
    version: 2 ** 40,
    project_id: budget.projectId,
    account_id: 'acct_test',
    admitted_at_ms: now,
    adjusted_at_ms: now,
    reason: 'reconciled',
    price_book_id: 'book',
    quantities: {},
    line_items: [],
    cost_nano_usd: 1e300,
    difference_nano_usd: 0,
  }
  const adjusted = { ...eventOf(budget), event_id: adjustment.event_id }
  await publishUsage(gateway, part(9, 9), [adjusted])
  await publishStored(stores.nats.admin, 'usage.adjusted.v1', JSON.stringify(adjustment))
  await publishUsage(gateway, part(10, 10), [eventOf(budget)])
  await eventually(async () =>
    (await listCompleteness(db)).some(
      row => row.gateway_id === 'gw_poison' && row.last === 10 && row.gaps.length === 0,
    ),
  )
  await service.stop()
  assert.equal(await spentOf(budget), 5_000n)
  const letters = await db
    .selectFrom('dead_letters')
    .selectAll()
    .where(eb => eb.or([eb('series', 'like', 'gw_poison%'), eb('first', '=', '70')]))
    .orderBy('first')
    .execute()
  assert.deepEqual(
    letters.map(letter => [letter.first, letter.last]),
    ['2', '4', '5', '6', '7', '70'].map(number => [number, number]),
  )
  assert.ok(letters.at(-1)?.series?.startsWith(adjustmentSeries.gatewayId))
  for (const letter of letters) {
    assert.match(letter.reason, /^refused/)
    assert.equal(JSON.parse(letter.content.toString()).cost_nano_usd > 0, true)
    assert.equal((await replayDeadLetter(db, letter.id, windowAt, now)).outcome, 'still-dead')
  }
})

test('a settlement key is one of its project', async () => {
  const [one, other] = [await newBudget(), await newBudget()]
  for (const budget of [one, other])
    await apply(messageOf(`gw_${budget.budget_id}`, 1, [{ ...eventOf(budget), settlement_key: 'resp_shared' }]))
  assert.deepEqual([await spentOf(one), await spentOf(other)], [1_000n, 1_000n])
})

test('a dead letter is applied once its cause is gone, once', async () => {
  const budget = await newBudget()
  const event = eventOf(budget)
  const early: UsageMessage = {
    kind: 'adjusted',
    streamSeq: ++streamSeq,
    subject: 'usage.adjusted.v1',
    adjustment: {
      seq: 50,
      event_id: event.event_id,
      version: 1,
      project_id: budget.projectId,
      account_id: 'acct_test',
      admitted_at_ms: event.admitted_at_ms,
      adjusted_at_ms: now,
      reason: 'reconciled',
      price_book_id: 'book',
      quantities: {},
      line_items: [],
      cost_nano_usd: 250,
      difference_nano_usd: -750,
    },
  }
  await apply(early)
  const letter = await db.selectFrom('dead_letters').select('id').where('first', '=', '50').executeTakeFirstOrThrow()
  assert.equal((await replayDeadLetter(db, letter.id, windowAt, now)).outcome, 'still-dead')
  await apply(messageOf('gw_late', 1, [event]))
  assert.equal((await replayDeadLetter(db, letter.id, windowAt, now)).outcome, 'applied')
  assert.equal((await replayDeadLetter(db, letter.id, windowAt, now)).outcome, 'unknown')
  assert.equal(await spentOf(budget), 250n)
})

test('the end of an epoch makes what never came a gap', async () => {
  const budget = await newBudget()
  const closed: GatewayEpochClosedData = {
    gateway_id: 'gw_ended',
    epoch: 1,
    last: Array.from({ length: PARTITIONS }, (_, partition) => (partition === partitionOf(budget.projectId) ? 3 : 0)),
    closed_by: 'gw_ended',
    closed_at_ms: now,
  }
  await apply(messageOf('gw_ended', 1, [eventOf(budget)]), {
    kind: 'epoch-closed',
    streamSeq: ++streamSeq,
    subject: 'gateway.epoch-closed.v1',
    closed,
  })
  const series = (await listCompleteness(db)).filter(row => row.gateway_id === 'gw_ended' && row.gaps.length > 0)
  assert.deepEqual(
    series.map(({ partition, gaps, complete }) => [partition, gaps, complete]),
    [[partitionOf(budget.projectId), [[2, 3]], false]],
  )
})

test('sums of windows are the sums of facts, whatever comes in which order', async () => {
  const day = 86_400_000
  const units = ['usd', 'tokens', 'requests'] as const
  const windows = ['hour', 'day', 'month', 'total'] as const
  const draftOf = fc.record({
    unit: fc.constantFrom(...units),
    window: fc.constantFrom(...windows),
    per: fc.constantFrom(undefined, 'team', 'member'),
    time_zone: fc.constantFrom('UTC', 'Europe/Berlin', 'Asia/Kathmandu'),
    team: fc.constantFrom(undefined, 'team_a'),
  })
  const attempt = fc.record({
    team_id: fc.constantFrom('team_a', 'team_b'),
    member_id: fc.constantFrom(undefined, 'mem_a', 'mem_b'),
    paid_by: fc.constantFrom('managed' as const, 'seat' as const),
    cost_nano_usd: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    tokens: fc.integer({ min: 0, max: 1e12 }),
    admitted_at_ms: fc.integer({ min: now - 40 * day, max: now }),
  })
  const scenario = fc.record({
    drafts: fc.array(draftOf, { minLength: 1, maxLength: 5 }),
    attempts: fc.array(attempt, { minLength: 1, maxLength: 12 }),
    deliveries: fc.array(fc.tuple(fc.nat(11), fc.nat(11)), { minLength: 1, maxLength: 6 }),
  })
  let round = 0
  await fc.assert(
    fc.asyncProperty(scenario, async ({ drafts, attempts, deliveries }) => {
      const projectId = randomUUID()
      const gatewayId = `gw_property${++round}`
      const events = attempts.map(({ team_id, member_id, tokens, ...rest }) =>
        makeUsageEvent({
          ...rest,
          quantities: { in_text: tokens },
          identity: { project_id: projectId, team_id, ...(member_id === undefined ? {} : { member_id }) },
        }),
      )
      const made = await Promise.all(
        drafts.map(({ per, team, ...rest }) =>
          newBudget({
            ...rest,
            projectId,
            scope: { project: projectId, ...(team === undefined ? {} : { team }) },
            ...(per === undefined ? {} : { per }),
          }),
        ),
      )
      for (const [a, b] of deliveries) {
        const first = Math.min(a, b) % events.length
        const last = Math.max(first, Math.max(a, b) % events.length)
        await apply(messageOf(gatewayId, first + 1, events.slice(first, last + 1)))
      }
      for (const budget of made) {
        const rows = await db
          .selectFrom('budget_windows')
          .selectAll()
          .where('budget_id', '=', budget.budget_id)
          .execute()
        const held = rows.filter(row => row.spent !== '0')
        const expected = new Map<string, bigint>()
        const starts = new Set(
          events.map(event => windowAt(budget.window, budget.time_zone, event.admitted_at_ms).startMs),
        )
        for (const startMs of starts) {
          for (const { copy, amount } of await sumFacts(db, budget, windowAt(budget.window, budget.time_zone, startMs)))
            expected.set(`${copy} ${startMs}`, amount)
        }
        assert.deepEqual(new Map(held.map(row => [`${row.copy} ${row.window_start_ms}`, BigInt(row.spent)])), expected)
      }
    }),
    { numRuns: 15 },
  )
})

test('a batch published twice is in the stream twice and counted once', async t => {
  const budget = await newBudget()
  const gateway = await stores.connectAs('gateway')
  const service = await startService(t, stores)
  const range = { gatewayId: 'gw_twice', epoch: 1, partition: partitionOf(budget.projectId), first: 1, last: 2 }
  const sent = await publishUsage(gateway, range, [eventOf(budget), eventOf(budget)])
  await publishUsage(gateway, range, sent)
  await publishUsageBody(gateway, { ...range, first: 3, last: 3 }, 'not JSON\n')
  const report = await eventually(async () => {
    const answer = await fetch(`http://127.0.0.1:${service.operatorPort}/completeness`)
    const body = (await answer.json()) as { complete: boolean; series: { gateway_id: string; last: number }[] }
    return body.series.some(row => row.gateway_id === 'gw_twice' && row.last === 3) && body
  })
  assert.equal(report.complete, false, rangeId(range))
  assert.equal(await spentOf(budget), 2_000n)
})
