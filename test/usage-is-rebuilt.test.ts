import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { ServiceName } from '@sluice/contracts'
import { eventually, sized, startTestStack, type TestStack, testFolder } from '@sluice/test-env'
import pg from 'pg'
import { readLedger } from './faults/accounts-of-a-run.ts'
import { ownPrices } from './faults/ledger-rerated.ts'
import { type Load, startLoad } from './faults/load-client.ts'
import { rerateLedger } from './faults/rerate-ledger.ts'
import { brokenPromises } from './faults/scenario.ts'
import { type Management, signIn } from './management.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')

/** Calls a second; so many at the prices of all, at those of the project, and after everything has come back. */
const size = sized({
  small: { perSecond: 30, usual: 40, own: 50, later: 30 },
  full: { perSecond: 60, usual: 60, own: 70, later: 60 },
})

interface Reconciliation {
  equal: boolean
  ledger: { events: number; cost_nano_usd: string }
  places: Record<'analytics_rows' | 'analytics_rollups' | 'budget', { events: number; cost_nano_usd: string } | null>
  differences: { project_id: string; hour: string; place: string }[]
}

test('ClickHouse and what budgets have counted are deleted, and come back from log and archive, equal to the nano-dollar', async t => {
  const archiveFolder = testFolder(t, 'archive')
  const stack = await startTestStack(t, {
    env: {
      SLUICE_ARCHIVE: archiveFolder,
      BILLING_ARCHIVE_DROP_AFTER_DAYS: '1',
      ANALYTICS_ROLLUP_MS: '1000',
      ANALYTICS_INSERT_WINDOW_MS: '200',
    },
  })
  const admin = await signIn(stack)
  await makeBudgets(admin)
  const logs = testFolder(t, 'logs')
  let loads = 0
  const startCalls = () =>
    startLoad({
      origin: stack.url,
      apiKey: stack.apiKey,
      seed: 7 + loads,
      logFile: join(logs, `client-${++loads}.ndjson`),
      connections: 16,
      perSecond: size.perSecond,
      streamed: 0.2,
    })
  const untilCalled = (load: Load, count: number) => eventually(() => load.calls.length >= count)
  const answeredBy = async (load: Load) => {
    await load.stop()
    return load.calls.filter(one => one.ended === 'whole').length
  }

  // Half of it at prices of the project's own, however long these take to be in force.
  const load = startCalls()
  await untilCalled(load, size.usual)
  const { status } = await admin.call('PUT', `${admin.project}/price-book`, { prices: ownPrices(7) })
  assert.equal(status, 201)
  await untilCalled(load, load.calls.length + size.own)
  const answered = await answeredBy(load)
  assert.ok(answered >= size.usual + size.own, `${answered} calls`)
  const { events } = await eventually(async () => {
    const ledger = await readLedger(stack)
    return ledger.total.events >= answered && ledger
  })
  await untilEqual(stack)

  const rerated = await rerateLedger(stack)
  assert.deepEqual(brokenPromises(rerated), [])
  for (const [name, value] of Object.entries(rerated.figures)) t.diagnostic(`${name}: ${value}`)
  assert.ok(Number(rerated.figures['of these at prices of the project’s own']) > 20)

  // An operator corrects three events, one of them twice.
  for (const [index, event] of [events[0], events[5], events[9], events[0]].entries()) {
    const corrected = await operator(stack, 'billing', 'POST', '/adjustments', {
      project_id: stack.projectId,
      event_id: event?.eventId,
      quantities: { in_text: 1_000 + index, out_text: 7 },
      reason: 'provider credit note 17',
      actor: 'ops@example.com',
    })
    assert.equal(corrected.status, 201, JSON.stringify(corrected.body))
  }
  await untilEqual(stack)

  // Days pass: half of the log was posted three days ago, and is in the archive alone from now on.
  await query(
    stack.databaseUrls.billing,
    `update billing.usage_batches set posted_at = posted_at - interval '3 days' where batch_id % 2 = 0`,
  )
  const { stdout: archived } = await command(stack, 'archive.ts')
  assert.match(archived, /archived: \d{4}-\d\d-\d\d\ndropped from PostgreSQL: \d{4}-\d\d-\d\d/)
  const [gone] = await query<{ gone: number; kept: number }>(
    stack.databaseUrls.billing,
    'select count(*) filter (where content is null)::int as gone, count(content)::int as kept from billing.usage_batches',
  )
  assert.ok(gone && gone.gone > 5 && gone.kept > 5, JSON.stringify(gone))
  assert.match((await command(stack, 'archive.ts', 'verify')).stdout, /as it was written, and agrees with the ledger/)

  const rows = await readRows(stack)
  const windows = await readWindows(stack)
  const before = await reconcile(stack)

  // ClickHouse is lost with everything in it.
  const { analytics, budget } = stack.services
  await analytics.stop()
  rmSync(join(stack.home, 'clickhouse'), { recursive: true })
  await analytics.start()
  await analytics.untilReady()
  const lost = await reconcile(stack)
  assert.equal(lost.equal, false)
  assert.deepEqual(lost.places.analytics_rows, { events: 0, cost_nano_usd: '0' })
  assert.deepEqual(
    lost.differences.map(({ project_id, place }) => `${place} ${project_id}`).sort(),
    ['analytics_rollups', 'analytics_rows'].map(place => `${place} ${stack.projectId}`),
  )
  // And what budgets have counted.
  await loseBudgets(stack)
  assert.notDeepEqual(await readWindows(stack), windows)
  // The rebuild is killed right after it has begun, and goes on by itself.
  await operator(stack, 'analytics', 'POST', '/rebuild')
  await analytics.kill()
  await analytics.start()
  await analytics.untilReady()
  const { stdout: rebuilt } = await command(stack, 'rebuild.ts')
  assert.match(rebuilt, /^analytics: done: \d+ batches, \d+ events, 4 corrections$/m)
  assert.match(rebuilt, /^budgets: done: \d+ batches/m)
  assert.deepEqual(await readRows(stack), rows)
  assert.deepEqual(await readWindows(stack), windows)
  assert.deepEqual(await reconcile(stack), before)
  const marks = await completeness(stack, 'analytics')

  // Each by its name: what is lost comes back, and where nothing is lost nothing doubles.
  await loseBudgets(stack)
  const { stdout: budgetsAlone } = await command(stack, 'rebuild.ts', 'budgets')
  assert.match(budgetsAlone, /^budgets: done: \d+ batches/m)
  assert.doesNotMatch(budgetsAlone, /analytics/)
  assert.deepEqual(await readWindows(stack), windows)
  const { stdout: analyticsAlone } = await command(stack, 'rebuild.ts', 'analytics')
  assert.match(analyticsAlone, /^analytics: done: \d+ batches, \d+ events, 4 corrections$/m)
  assert.doesNotMatch(analyticsAlone, /budgets/)
  assert.deepEqual(await readRows(stack), rows)
  for (const wrong of [['everything'], ['analytics', 'budgets']])
    await assert.rejects(command(stack, 'rebuild.ts', ...wrong), { code: 1, stderr: /^usage: npm run rebuild/ })
  assert.deepEqual(await reconcile(stack), before)
  assert.deepEqual(await completeness(stack, 'budget'), marks)

  // And both go on from the stream: what comes now counts once, also after they have read the stream again.
  const later = startCalls()
  await untilCalled(later, size.later)
  const more = await answeredBy(later)
  await budget.stop()
  await budget.start()
  await budget.untilReady()
  const after = await untilEqual(stack, before.ledger.events + more)
  assert.equal(after.ledger.events, (await readRows(stack)).length)
})

async function makeBudgets(admin: Management): Promise<void> {
  for (const budget of [
    { name: 'all', unit: 'usd', limit: '1000', window: 'total' },
    { name: 'month', unit: 'tokens', limit: '100000000', window: 'month', time_zone: 'Asia/Kathmandu' },
    { name: 'day', unit: 'usd', limit: '1000', window: 'day', per: 'key' },
    { name: 'hour', unit: 'requests', limit: '100000', window: 'hour', scope: { model: 'gpt-4o-mini' } },
  ]) {
    const { status, body } = await admin.call('POST', `${admin.project}/budgets`, { ...budget, mode: 'soft' })
    assert.equal(status, 201, JSON.stringify(body))
  }
}

async function operator<Body>(stack: TestStack, service: ServiceName, method: string, path: string, body?: object) {
  const origin = new URL(stack.services[service].plan.readyUrl).origin
  const answer = await fetch(`${origin}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: (await answer.json()) as Body }
}

function loseBudgets(stack: TestStack) {
  return query(
    stack.databaseUrls.budget,
    'truncate budget.spend_facts, budget.budget_windows, budget.settlements, budget.series_marks, budget.series_positions',
  )
}

/** The hours around now, which are not closed: nothing is on its way where they are equal. */
async function reconcile(stack: TestStack): Promise<Reconciliation> {
  const hour = 3_600_000
  const start = Math.floor(Date.now() / hour) * hour
  const span = `start=${new Date(start - hour).toISOString()}&end=${new Date(start + hour).toISOString()}`
  const { body } = await operator<Reconciliation & { from: string; to: string }>(
    stack,
    'billing',
    'GET',
    `/reconciliation?${span}`,
  )
  return body
}

/** Rollups take a second, and each look asks every store: it is not looked more often than that helps. */
function untilEqual(stack: TestStack, events = 0): Promise<Reconciliation> {
  return eventually(
    async () => {
      const now = await reconcile(stack)
      return now.equal && now.ledger.events >= events && now
    },
    { intervalMs: 300 },
  )
}

async function completeness(stack: TestStack, service: ServiceName) {
  const { body } = await operator<{
    complete: boolean
    series: { gateway_id: string; partition: number; last: number }[]
  }>(stack, service, 'GET', '/completeness')
  assert.equal(body.complete, true)
  return body.series.filter(one => one.last > 0)
}

async function readRows(stack: TestStack) {
  const rows: { event_id: string; cost_nano_usd: string }[] = []
  for (let token: string | null = ''; token !== null; ) {
    const url = `${stack.url}/accounts/projects/${stack.projectId}/usage/events?page_size=500${token === '' ? '' : `&continuation_token=${token}`}`
    const answer = await fetch(url, { headers: { authorization: `Bearer ${stack.apiKey}` } })
    const page = (await answer.json()) as { events: typeof rows; continuation_token: string | null }
    rows.push(...page.events)
    token = page.continuation_token
  }
  return rows
}

function readWindows(stack: TestStack) {
  return query(
    stack.databaseUrls.budget,
    'select budget_id, copy, window_start_ms, window_end_ms, spent from budget.budget_windows order by 1, 2, 3',
  )
}

/** One of the commands of this repository, on this stack. */
function command(stack: TestStack, file: string, ...args: string[]) {
  return run(process.execPath, [join(root, 'packages', 'stack', 'src', file), ...args], {
    env: { ...process.env, SLUICE_HOME: stack.home },
  })
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}
