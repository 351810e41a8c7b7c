import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openBucket, subscribe } from '@sluice/bus'
import {
  Budget,
  BudgetWindow,
  handedLeaseId,
  holderOf,
  LeaseAsk,
  LeaseRecall,
  partitionOf,
  type UsageAdjustedData,
} from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import { transact } from '@sluice/postgres'
import { eventually, makeUsageEvent } from '@sluice/test-env'
import { sql } from 'kysely'
import { findBudget } from '../src/budget-store.ts'
import { expireUnresolved, findDueSweeps, sweepSilent } from '../src/homes/sweep-store.ts'
import { sumFacts } from '../src/spend-fact-store.ts'
import type { UsageMessage } from '../src/usage-message.ts'
import { applyUsage } from '../src/usage-store.ts'
import { rebuildWindows } from '../src/window-rebuild-store.ts'
import { makeWindows } from '../src/window-store.ts'
import { fileScope, openService, startService } from './budget-service.ts'
import { leaseClient } from './lease-client.ts'

const env = await openService(fileScope)
let gateways = 0

/** A project with one hard budget, and a gateway that asks its home. */
async function newPool(body: object = {}) {
  const { projectId, call } = await env.newProject()
  const created = await eventually(async () => {
    const answer = await call('POST', `${projectId}/budgets`, {
      name: 'Hard',
      unit: 'requests',
      limit: '100',
      window: 'total',
      mode: 'hard',
      ...body,
    })
    return answer.status === 401 ? undefined : answer
  })
  assert.equal(created.status, 201, JSON.stringify(created.body))
  const budgetId: string = created.body.id
  const home = partitionOf(projectId)
  const path = `${projectId}/budgets/${budgetId}`
  const newGateway = (epoch = 1, gatewayId = `gw_${++gateways}`) =>
    Object.assign(leaseClient(env.gateway, gatewayId, epoch, home), { gatewayId })
  const get = async () => (await call('GET', path)).body
  const amounts = async () => {
    const { spent, held, unresolved, left } = await get()
    return [spent, held, unresolved, left].map(Number)
  }
  return { projectId, call, budgetId, home, path, newGateway, get, amounts }
}

test('a lease is granted within what is left; the same ask again is the same lease; what is spent is refused', async () => {
  const { budgetId, newGateway, amounts } = await newPool()
  const gateway = newGateway()
  const granted = await gateway.ask({ budgetId, want: 60 })
  assert.deepEqual(
    granted.grants.map(({ amount, left }) => [amount, left]),
    [[60, 40]],
  )
  assert.deepEqual((await gateway.askAs(1, [{ budgetId, want: 60 }])).grants, granted.grants)
  assert.deepEqual(await amounts(), [0, 60, 0, 40])
  const clamped = await gateway.ask({ budgetId, want: 60, need: 10 })
  assert.deepEqual(
    clamped.grants.map(({ amount }) => amount),
    [40],
  )
  const held = await gateway.ask({ budgetId, want: 10 })
  assert.deepEqual([held.refusal?.reason, held.refusal?.held, held.refusal?.limit], ['held', 100, 100])
  await gateway.report(gateway.totals(1, budgetId, { granted: 60, settled_total: 55, returned_total: 5, done: true }))
  assert.deepEqual(await amounts(), [55, 40, 0, 5])
  const spent = await gateway.ask({ budgetId, want: 46 })
  assert.deepEqual([spent.refusal?.reason, spent.refusal?.spent, spent.refusal?.need], ['spent', 55, 46])
})

test('an ask of several budgets is granted whole or not at all', async () => {
  const { projectId, call, budgetId, newGateway, amounts } = await newPool()
  const { body: small } = await call('POST', `${projectId}/budgets`, {
    name: 'Small',
    unit: 'requests',
    limit: '5',
    window: 'total',
    mode: 'hard',
  })
  const gateway = newGateway()
  const refused = await gateway.ask({ budgetId, want: 6 }, { budgetId: small.id, want: 6 })
  assert.deepEqual([refused.grants, refused.refusal?.budget_id, refused.refusal?.reason], [[], small.id, 'spent'])
  assert.deepEqual(await amounts(), [0, 0, 0, 100])
  const granted = await gateway.ask({ budgetId, want: 5 }, { budgetId: small.id, want: 5 })
  assert.deepEqual(
    granted.grants.map(({ amount }) => amount),
    [5, 5],
  )
})

test('a window that is over gives to calls that were let in in it, for as long as one may run', async () => {
  const { budgetId, newGateway } = await newPool({ window: 'minute' })
  const gateway = newGateway()
  const minuteMs = 60_000
  const { startMs } = windowAt('minute', 'UTC', Date.now())
  const ago = (minutes: number) => startMs - minutes * minuteMs
  const windows = [2, 59, 62].map(minutes => ({ startMs: ago(minutes), endMs: ago(minutes) + minuteMs }))
  await makeWindows(
    env.db,
    windows.map(window => ({ budgetId, copy: '', window, amount: 0n })),
    Date.now(),
  )
  const ask = async (windowStartMs: number, late?: true) => {
    const { grants, refusal } = await gateway.ask({ budgetId, windowStartMs, want: 60, ...(late && { late }) })
    return refusal?.reason ?? grants.map(({ amount }) => amount)
  }
  assert.equal(await ask(ago(2)), 'not_open')
  assert.deepEqual(await ask(ago(2), true), [60])
  assert.deepEqual(await ask(ago(2), true), 'held', 'of what is left of that window')
  assert.deepEqual(await ask(ago(59), true), [60])
  assert.equal(await ask(ago(62), true), 'not_open')
  assert.equal(await ask(ago(-2), true), 'not_open')
  assert.equal(await ask(ago(30), true), 'not_open', 'no call was let in in it')
})

test('what is no hard budget of this home, or no window of now, has no lease', async () => {
  const { projectId, call, budgetId, home, newGateway } = await newPool({ window: 'day' })
  const gateway = newGateway()
  const today = windowAt('day', 'UTC', Date.now()).startMs
  const reason = async (...pools: Parameters<typeof gateway.ask>) => (await gateway.ask(...pools)).refusal?.reason
  assert.equal(await reason({ budgetId, windowStartMs: today, want: 1 }), undefined)
  assert.equal(await reason({ budgetId, windowStartMs: today - 86_400_000, want: 1 }), 'not_open')
  assert.equal(await reason({ budgetId, windowStartMs: today + 1, want: 1 }), 'not_open')
  assert.equal(await reason({ budgetId: 'bud_none', windowStartMs: today, want: 1 }), 'unknown_budget')
  const elsewhere = leaseClient(env.gateway, 'gw_astray', 1, (home + 1) % 8)
  assert.equal((await elsewhere.ask({ budgetId, windowStartMs: today, want: 1 })).refusal?.reason, 'unknown_budget')
  const rows = await env.db
    .selectFrom('budget_windows')
    .select('window_start_ms')
    .where('budget_id', '=', budgetId)
    .execute()
  assert.deepEqual(
    rows.map(row => Number(row.window_start_ms)),
    [today],
  )
  await call('PATCH', `${projectId}/budgets/${budgetId}`, { mode: 'soft' })
  assert.equal(await reason({ budgetId, windowStartMs: today, want: 1 }), 'unknown_budget')
  await call('PATCH', `${projectId}/budgets/${budgetId}`, { mode: 'hard' })
  await call('DELETE', `${projectId}/budgets/${budgetId}`)
  assert.equal(await reason({ budgetId, windowStartMs: today, want: 1 }), 'unknown_budget')
})

test('a later run fences the earlier one; its hello closes what its journal names, and frees the rest', async () => {
  const { budgetId, home, newGateway, amounts } = await newPool()
  const first = newGateway()
  await first.ask({ budgetId, want: 30 })
  await first.ask({ budgetId, want: 20 })
  const second = newGateway(2, first.gatewayId)
  await second.ask({ budgetId, want: 10 })
  assert.equal((await first.ask({ budgetId, want: 1 })).refusal?.reason, 'fenced')
  assert.equal((await first.heartbeat([])).fenced, true)
  assert.deepEqual(await amounts(), [0, 60, 0, 40])
  const used = first.totals(1, budgetId, {
    granted: 30,
    settled_total: 12,
    unresolved: [{ attempt_id: 'att_1', amount: 8 }],
    version: 9,
    done: true,
  })
  // It is said to all homes: another one has nothing of it.
  const other = leaseClient(env.gateway, first.gatewayId, 2, (home + 1) % 8)
  assert.deepEqual((await other.hello(1, used)).unknown, [used.lease_id])
  await second.hello(1, used)
  assert.deepEqual(await amounts(), [12, 18, 8, 70])
  await second.hello(1, used)
  assert.deepEqual(await amounts(), [12, 18, 8, 70])
})

test('a hard budget over all projects of an account has a home of its own', async () => {
  const admin = await env.newPerson('acct_test', true)
  const hard = { name: 'All', unit: 'requests', limit: '10', window: 'total', mode: 'hard' }
  const { body } = await eventually(async () => {
    const answer = await admin('POST', 'budgets', hard)
    return answer.status !== 401 && answer
  })
  const gateway = leaseClient(env.gateway, 'gw_spans', 1, partitionOf(body.id))
  const { grants } = await gateway.ask({ budgetId: body.id, want: 7 })
  assert.deepEqual(
    grants.map(({ amount, left }) => [amount, left]),
    [[7, 3]],
  )
  assert.equal((await gateway.ask({ budgetId: body.id, want: 4 })).refusal?.reason, 'held')
  assert.deepEqual((await admin('GET', `budgets/${body.id}/leases`)).body.gateways[0].held, '7')
  assert.equal((await admin('DELETE', `budgets/${body.id}`)).status, 204)
})

test('what gateways hold and what is unresolved comes in pages, each row once, and a token of another budget opens none', async () => {
  const { call, budgetId, home, path, newGateway } = await newPool()
  const holders = [newGateway(), newGateway(), newGateway()]
  for (const gateway of holders) await gateway.ask({ budgetId, want: 1 })
  const [silent] = holders
  assert.ok(silent)
  const lost = { attempt_id: 'att_1', amount: 1 }
  await silent.report(silent.totals(1, budgetId, { granted: 1, unresolved: [lost], done: true }))
  for (const gateway of holders) await gateway.ask({ budgetId, want: 2 })
  const { owner, owned } = await ownedHome(home)
  await sweepSilent(env.db, owner, owned, Date.now() + 1_000, Date.now())

  interface Page {
    gateways: { gateway_id: string; leases: number }[]
    unresolved: { lease_id: string; attempt_id: string }[]
    continuation_token: string | null
  }
  const pages: Page[] = []
  for (let token: string | null | undefined; token !== null && pages.length < 20; ) {
    const query: string = token === undefined ? '?page_size=2' : `?page_size=2&continuation_token=${token}`
    const page: Page = (await call('GET', `${path}/leases${query}`)).body
    pages.push(page)
    token = page.continuation_token
  }
  const whole: Page = (await call('GET', `${path}/leases`)).body
  assert.equal(whole.continuation_token, null)
  assert.deepEqual([whole.gateways.length, whole.unresolved.length], [3, 6])
  assert.deepEqual(
    pages.map(({ gateways, unresolved }) => [gateways.length, unresolved.length]),
    [
      [2, 2],
      [1, 2],
      [0, 2],
    ],
  )
  assert.deepEqual(
    pages.flatMap(({ gateways }) => gateways),
    whole.gateways,
  )
  assert.deepEqual(
    pages.flatMap(({ unresolved }) => unresolved),
    whole.unresolved,
  )

  const other = await newPool()
  const refused = await other.call('GET', `${other.path}/leases?continuation_token=${pages[0]?.continuation_token}`)
  assert.deepEqual([refused.status, refused.body.error.code], [400, 'invalid_request'])
})

test('a whole list closes what was granted and never heard of, and nothing that is under way', async () => {
  const { budgetId, newGateway, amounts } = await newPool()
  const gateway = newGateway()
  for (const want of [1, 2, 4]) await gateway.ask({ budgetId, want })
  const { lease_id: kept } = gateway.totals(1, budgetId)
  const { unknown } = await gateway.heartbeat([[kept, 1]], {
    from_seq: 1,
    below_seq: 3,
    lease_ids: [kept, 'gw-1-9-0'],
  })
  assert.deepEqual(unknown, ['gw-1-9-0'])
  assert.deepEqual(await amounts(), [0, 5, 0, 95])
})

test("a list that says nothing new waits for nobody; what is silent is held again, what is another's or closed is unknown", async () => {
  const { budgetId, home, newGateway, amounts } = await newPool()
  const [gateway, other] = [newGateway(), newGateway()]
  for (const want of [1, 2, 4]) await gateway.ask({ budgetId, want })
  await other.ask({ budgetId, want: 8 })
  const [first, second, third] = [1, 2, 3].map(number => gateway.totals(number, budgetId).lease_id)
  const { lease_id: foreign } = other.totals(1, budgetId)
  assert.ok(first && second && third)
  await gateway.report(gateway.totals(3, budgetId, { granted: 4, returned_total: 4, done: true }))
  const list = (...leaseIds: string[]) => gateway.heartbeat([], { from_seq: 1, below_seq: 4, lease_ids: leaseIds })
  await transact(env.db, async trx => {
    // As usage that is being counted.
    await sql`select from budget_windows where budget_id = ${budgetId} for update`.execute(trx)
    assert.deepEqual((await list(first, second)).unknown, [])
    assert.deepEqual((await gateway.heartbeat([[second, 2]])).unknown, [])
  })
  assert.deepEqual((await list(first, second, third, foreign)).unknown, [third, foreign])
  assert.deepEqual((await gateway.heartbeat([[foreign, 1]])).unknown, [foreign])
  await sql`update leases set state = 'silent' where home = ${home} and lease_id = ${first}`.execute(env.db)
  assert.deepEqual((await list(first, second)).unknown, [])
  const { rows } = await sql<{ state: string }>`select state from leases
    where budget_id = ${budgetId} order by lease_id`.execute(env.db)
  assert.deepEqual(
    rows.map(({ state }) => state),
    ['open', 'open', 'closed', 'open'],
  )
  await list(second)
  assert.deepEqual((await amounts()).slice(1, 2), [2 + 8])
})

test('less left than wanted calls idle money back, and who asked gets it', async () => {
  const { budgetId, newGateway } = await newPool()
  const [rich, poor] = [newGateway(), newGateway()]
  await rich.ask({ budgetId, want: 90 })
  const { lease_id: leaseId } = rich.totals(1, budgetId)
  await rich.heartbeat([[leaseId, 80]])
  const recalls: string[][] = []
  const heard = subscribe(
    env.gateway,
    LeaseRecall,
    LeaseRecall.subject(rich.gatewayId),
    recall => {
      recalls.push(recall.lease_ids)
      void rich.report(rich.totals(1, budgetId, { granted: 90, returned_total: 80, version: 2 }))
    },
    env.log,
  )
  await env.gateway.connection.flush()
  const answer = await poor.ask({ budgetId, want: 50 })
  assert.deepEqual(
    answer.grants.map(({ amount }) => amount),
    [50],
  )
  assert.deepEqual(recalls, [[leaseId]])
  // It has nothing idle now, and is not asked again.
  await rich.heartbeat([])
  const held = await newGateway().ask({ budgetId, want: 50 })
  assert.equal(held.refusal?.reason, 'held')
  assert.equal(recalls.length, 1)
  await heard.close()
})

test('usage that frees a hold and usage that does not never wait for each other in a circle', async () => {
  const { projectId, call, newGateway } = await newPool({ unit: 'usd', limit: '1', mode: 'soft' })
  const hard = { name: 'Hard', unit: 'usd', limit: '1', window: 'total', mode: 'hard' }
  const { id: budgetId } = (await call('POST', `${projectId}/budgets`, hard)).body
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 6_000 })
  const { lease_id: leaseId } = gateway.totals(1, budgetId)
  const attempt = randomUUID()
  const held = [{ budget_id: budgetId, copy: '', window_start_ms: 0, amount: 6_000 }]
  const unresolved: [string, number][] = [[leaseId, 4_000]]
  await env.send(projectId, [
    { event_id: attempt, cost_nano_usd: 2_000, held, leases: [[leaseId, 2_000]], unresolved },
    { cost_nano_usd: 1_000 },
  ])
  const freed = { granted: 6_000, settled_total: 2_000, done: true }
  await gateway.report(gateway.totals(1, budgetId, { ...freed, unresolved: [{ attempt_id: attempt, amount: 4_000 }] }))
  const windowsOf = () =>
    sql<{
      budget_id: string
      spent: string
      unresolved: string
    }>`select budget_id, spent, unresolved from budget_windows
      where budget_id in (select budget_id from budgets where project_id = ${projectId}) order by budget_id`.execute(
      env.db,
    )
  await eventually(async () => {
    assert.deepEqual(
      (await windowsOf()).rows.map(row => [Number(row.spent), Number(row.unresolved)]),
      [
        [3_000, 0],
        [1_000, 4_000],
      ],
    )
    return true
  })
  const adjustment: UsageAdjustedData = {
    seq: 900,
    event_id: attempt,
    version: 1,
    measured: true,
    project_id: projectId,
    account_id: 'acct_test',
    admitted_at_ms: Date.now(),
    adjusted_at_ms: Date.now(),
    reason: 'measured',
    price_book_id: 'book_test',
    quantities: { in_text: 100, out_text: 20 },
    line_items: [],
    cost_nano_usd: 2_500,
    difference_nano_usd: 500,
  }
  const apply = (message: UsageMessage) => applyUsage(env.db, [message], windowAt, Date.now())
  const event = { ...makeUsageEvent({ cost_nano_usd: 10, identity: { project_id: projectId } }), seq: 1 }
  const range = { gatewayId: 'gw_circle', epoch: 1, partition: partitionOf(projectId), first: 1, last: 1 }
  const body = new TextEncoder().encode(
    `${JSON.stringify({ ...event, gateway_id: range.gatewayId, epoch: 1, partition: range.partition })}\n`,
  )
  const waiting = async (count: number) => {
    const { rows } = await sql<{
      count: number
    }>`select count(*)::int as count from pg_locks where not granted`.execute(env.db)
    return (rows[0]?.count ?? 0) >= count
  }
  // Both wait for the first window, each in its way: whoever comes second must not hold what the first one wants next.
  const results: Promise<unknown>[] = []
  await env.db.transaction().execute(async trx => {
    const { rows } = await windowsOf()
    await sql`select from budget_windows where budget_id = ${rows[0]?.budget_id} for update`.execute(trx)
    results.push(apply({ kind: 'recorded', streamSeq: 2_000_000, subject: 'usage.recorded.v1.0', range, body }))
    await eventually(() => waiting(1))
    results.push(apply({ kind: 'adjusted', adjustment, streamSeq: 2_000_001, subject: 'usage.adjusted.v1' }))
    await eventually(() => waiting(2))
  })
  await Promise.all(results)
  assert.deepEqual(
    (await windowsOf()).rows.map(row => [Number(row.spent), Number(row.unresolved)]),
    [
      [3_510, 0],
      [1_510, 0],
    ],
  )
})

test('a copy whose name is no text is refused, and keeps nobody of its home waiting', async () => {
  const { budgetId, newGateway } = await newPool({ per: 'participant' })
  const asking = newGateway()
  const beside = newGateway()
  for (const copy of ['half \ud800', 'a \0 between']) {
    const answers = await Promise.all([
      asking.ask({ budgetId, copy, want: 1 }),
      beside.ask({ budgetId, copy: 'whole', want: 1 }),
    ])
    assert.deepEqual(
      answers.map(({ refusal }) => refusal?.reason),
      ['unknown_budget', undefined],
      JSON.stringify(copy),
    )
  }
  assert.equal((await beside.ask({ budgetId, copy: 'whole', want: 1 })).refusal, undefined)
})

test('usage that names no lease counts in the pool, and what leases have settled counts once', async () => {
  const { projectId, budgetId, newGateway, amounts, get } = await newPool({ unit: 'usd', limit: '0.00001' })
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 6_000 })
  const held = [{ budget_id: budgetId, copy: '', window_start_ms: 0, amount: 6_000 }]
  const attempt = randomUUID()
  const { lease_id: leaseId } = gateway.totals(1, budgetId)
  await env.send(projectId, [
    { cost_nano_usd: 1_000 },
    { event_id: attempt, cost_nano_usd: 2_000, held, leases: [[leaseId, 2_000]], unresolved: [[leaseId, 4_000]] },
  ])
  await eventually(async () => (await get()).spent === '0.000001')
  await gateway.report(
    gateway.totals(1, budgetId, {
      granted: 6_000,
      settled_total: 2_000,
      unresolved: [{ attempt_id: attempt, amount: 4_000 }],
      done: true,
    }),
  )
  assert.deepEqual(await amounts(), [0.000003, 0.000004, 0.000004, 0.000003])
  const windows = await openBucket(env.gateway, 'budget-windows', BudgetWindow)
  const shown = await eventually(async () => {
    const window = await windows.get(budgetId)
    return window?.spent === 3_000 && window
  })
  assert.equal(shown.held, 4_000)
  const parent = { accountId: 'acct_test', projectId }
  const budget = await findBudget(env.db, parent, budgetId)
  assert.ok(budget)
  const whole = { startMs: 0, endMs: undefined }
  assert.deepEqual(await sumFacts(env.db, budget, whole), [{ copy: '', amount: 1_000n }])
  // Made now, a budget that has no leases counts all of it.
  assert.deepEqual(await sumFacts(env.db, { ...budget, budget_id: 'bud_new' }, whole), [{ copy: '', amount: 3_000n }])

  const adjustment: UsageAdjustedData = {
    seq: 1,
    event_id: attempt,
    version: 1,
    project_id: projectId,
    account_id: 'acct_test',
    admitted_at_ms: Date.now(),
    adjusted_at_ms: Date.now(),
    reason: 'the price was wrong',
    price_book_id: 'book_test',
    quantities: { in_text: 100, out_text: 20 },
    line_items: [],
    cost_nano_usd: 2_500,
    difference_nano_usd: 500,
  }
  const adjust = (changes: Partial<UsageAdjustedData>) => {
    const subject = 'usage.adjusted.v1'
    const message = {
      kind: 'adjusted' as const,
      adjustment: { ...adjustment, ...changes },
      streamSeq: 1_000_000,
      subject,
    }
    return applyUsage(env.db, [message], windowAt, Date.now())
  }
  await adjust({})
  assert.deepEqual(await amounts(), [0.0000035, 0.000004, 0.000004, 0.0000025], 'another price')
  await adjust({ seq: 2, version: 2, measured: true })
  assert.deepEqual(await amounts(), [0.0000035, 0, 0, 0.0000065])
  const now = Date.now()
  assert.equal((await rebuildWindows(env.db, parent, budgetId, windowAt, now, 0)).corrected, 0)
  // The same list again, too late, brings nothing back.
  await gateway.report(
    gateway.totals(1, budgetId, {
      granted: 6_000,
      settled_total: 2_000,
      unresolved: [{ attempt_id: attempt, amount: 4_000 }],
      version: 7,
      done: true,
    }),
  )
  assert.deepEqual(await amounts(), [0.0000035, 0, 0, 0.0000065])
})

test('what is settled to the limit cuts, a raised limit lifts, a lowered one calls back and grants no more', async () => {
  const { budgetId, newGateway, path, call, get } = await newPool({ limit: '10' })
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 10 })
  const pushes = () => env.pushes.filter(push => push.budget_id === budgetId).map(push => push.active)
  await gateway.report(gateway.totals(1, budgetId, { granted: 10, settled_total: 10, done: true }))
  await eventually(() => pushes().length === 1)
  assert.equal((await get()).cutoff.active, true)
  await call('PATCH', path, { limit: '30' })
  await eventually(() => pushes().length === 2)
  await gateway.ask({ budgetId, want: 10 })
  const { lease_id: second } = gateway.totals(2, budgetId)
  const recalled = new Promise<string[]>(resolve => {
    subscribe(
      env.gateway,
      LeaseRecall,
      LeaseRecall.subject(gateway.gatewayId),
      ({ lease_ids }) => resolve(lease_ids),
      env.log,
    )
  })
  await env.gateway.connection.flush()
  const lowered = await call('PATCH', path, { limit: '15' })
  assert.deepEqual([lowered.body.held, lowered.body.left], ['10', '0'])
  assert.deepEqual(await recalled, [second])
  assert.equal((await gateway.ask({ budgetId, want: 1 })).refusal?.reason, 'held')
  assert.equal((await gateway.ask({ budgetId, want: 6 })).refusal?.reason, 'spent')
  assert.deepEqual(pushes(), [true, false])
})

test('slots of calls at the same time come back, and are never spent', async () => {
  const { budgetId, newGateway, amounts } = await newPool({ unit: 'concurrent', window: 'total', limit: '3' })
  const [one, other] = [newGateway(), newGateway()]
  await one.ask({ budgetId, want: 1 })
  await one.ask({ budgetId, want: 1 })
  await other.ask({ budgetId, want: 1 })
  assert.deepEqual(await amounts(), [0, 3, 0, 0])
  assert.equal((await other.ask({ budgetId, want: 1 })).refusal?.reason, 'held')
  await one.report(one.totals(1, budgetId, { granted: 1, returned_total: 1, done: true }))
  assert.equal((await other.ask({ budgetId, want: 1 })).grants.length, 1)
  assert.deepEqual(await amounts(), [0, 3, 0, 0])
})

test('messages that no gateway sends are counted, answered nothing, and hold nobody up', async () => {
  const { budgetId, home, newGateway, amounts } = await newPool()
  const refused = (body: string) =>
    assert.rejects(env.gateway.connection.request(LeaseAsk.subject(home), body, { timeout: 300 }))
  const items = [{ budget_id: budgetId, copy: 'half \ud83d a pair', window_start_ms: 0, need: 1, want: 1, ahead: 0 }]
  const ask = { gateway_id: 'gw_odd', epoch: 1, at_ms: Date.now(), seq: 1, items }
  const gateway = newGateway()
  const [granted] = await Promise.all([
    gateway.ask({ budgetId, want: 5 }),
    refused('{'),
    refused(JSON.stringify({ ...ask, items: [] })),
    refused(JSON.stringify({ ...ask, seq: 1e300, items: [{ ...items[0], copy: '' }] })),
  ])
  assert.deepEqual(
    granted.grants.map(({ amount }) => amount),
    [5],
  )
  assert.deepEqual(await amounts(), [0, 5, 0, 95])
})

test('of two instances each owns half; one is killed, and the other goes on with its homes: no ask is granted twice', async t => {
  const twin = await startService(t, env)
  const { homes } = env.service
  await eventually(() => homes.owned.length === 4 && twin.homes.owned.length === 4)
  const pools: Awaited<ReturnType<typeof newPool>>[] = []
  while (!pools.some(({ home }) => twin.homes.owned.some(owned => owned.home === home))) pools.push(await newPool())
  const pool = pools.at(-1)
  assert.ok(pool)
  const { budgetId, newGateway, amounts } = pool
  const clients = [newGateway(), newGateway(), newGateway()]
  const asking = clients.map(async client => {
    const granted: number[] = []
    for (let round = 1; round <= 10; round++) {
      const asked = { budgetId, want: round % 2 }
      // Said twice at once, and once more later: one lease.
      const answers = await Promise.all([client.askAs(round, [asked]), client.askAs(round, [asked])])
      const [first, again] = answers.map(({ grants }) => grants.map(({ amount }) => amount))
      assert.deepEqual(again, first)
      granted.push(...(first ?? []))
      if (round === 5 && client === clients[0]) {
        const killedAt = performance.now()
        await Promise.all([twin.bus.connection.close(), twin.db.destroy()])
        await client.askAs(100, [{ budgetId, want: 0 }])
        t.diagnostic(`the other instance answers ${Math.round(performance.now() - killedAt)} ms after the kill`)
      }
    }
    for (let round = 1; round <= 10; round++) await client.askAs(round, [{ budgetId, want: round % 2 }])
    return granted.reduce((sum, amount) => sum + amount, 0)
  })
  assert.deepEqual(await Promise.all(asking), [5, 5, 5])
  assert.deepEqual(await amounts(), [0, 15, 0, 85])
  await eventually(() => homes.owned.length === 8)
})

test('an instance that NATS does not reach gives its homes to one that it does', async t => {
  const { homes } = env.service
  const deaf = await startService(t, env)
  await eventually(() => homes.owned.length === 4 && deaf.homes.owned.length === 4)
  await deaf.bus.connection.close()
  await eventually(() => homes.owned.length === 8)
  assert.deepEqual(deaf.homes.owned, [])
})

/** The home of a pool as its owner sees it. */
async function ownedHome(home: number) {
  const row = await eventually(async () => {
    const { rows } = await sql<{ owner: string; term: string }>`
      select owner, term from partition_owners where home = ${home} and expires_at > now()`.execute(env.db)
    return rows[0]
  })
  return { owner: row.owner, owned: { home, term: Number(row.term) } }
}

test('what a silent gateway holds is unresolved; heard again it says itself; else it is written off, with who and why', async () => {
  const { budgetId, home, path, call, newGateway, amounts } = await newPool()
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 30 })
  await gateway.ask({ budgetId, want: 20 })
  const { owner, owned } = await ownedHome(home)
  const sweep = () => sweepSilent(env.db, owner, owned, Date.now() + 1_000, Date.now())
  const isDue = async () => {
    const since = { silentBeforeMs: Date.now() + 1_000, sinceMs: 0, nowMs: Date.now() }
    return (await findDueSweeps(env.db, [home], since)).silent.has(home)
  }
  assert.equal(await isDue(), true)
  assert.ok((await sweep()).silent >= 2)
  assert.deepEqual(await amounts(), [0, 50, 50, 50])
  assert.equal(await isDue(), false)
  assert.equal((await sweep()).silent, 0)
  const stranger = { owner: 'budget-other', owned }
  assert.equal((await sweepSilent(env.db, stranger.owner, owned, Date.now() + 1_000, Date.now())).silent, 0)

  const listed = await call('GET', `${path}/leases`)
  const [first, second] = [gateway.totals(1, budgetId).lease_id, gateway.totals(2, budgetId).lease_id]
  assert.deepEqual(
    listed.body.unresolved.map((hold: Record<string, string>) => [hold.lease_id, hold.attempt_id, hold.amount]),
    [
      [first, '*', '30'],
      [second, '*', '20'],
    ],
  )
  assert.deepEqual(
    listed.body.gateways.map((holding: Record<string, unknown>) => [
      holding.gateway_id,
      holding.leases,
      holding.silent,
    ]),
    [[gateway.gatewayId, 2, true]],
  )
  await gateway.report(gateway.totals(1, budgetId, { granted: 30, settled_total: 10 }))
  assert.deepEqual(await amounts(), [10, 40, 20, 50])

  const writeOff = `${path}/unresolved/${second}/*/write-off`
  const reason = { reason: 'the disk is gone' }
  const other = await newPool()
  assert.equal((await other.call('POST', writeOff, reason)).status, 404)
  assert.equal((await call('POST', writeOff, {})).status, 400)
  const given = await call('POST', writeOff, reason)
  assert.deepEqual([given.status, given.body.amount], [200, '20'])
  assert.equal((await call('POST', writeOff, reason)).body.error.code, 'hold_not_found')
  assert.deepEqual(await amounts(), [10, 20, 0, 70])
  const after = (await call('GET', `${path}/leases`)).body
  assert.deepEqual(after.unresolved, [])
  const [told] = await env.toldTrail(budgetId, 'budget.hold-written-off')
  assert.deepEqual(
    [told?.actor_kind, told?.from_address, told?.project_id, told?.after],
    ['key', '127.0.0.1', path.split('/')[0], after.given_up[0].note],
  )
  assert.deepEqual(
    after.given_up.map((entry: { action: string; note: Record<string, unknown> }) => [
      entry.action,
      entry.note.reason,
      entry.note.amount,
    ]),
    [['written-off', 'the disk is gone', 20]],
  )
})

test('what is handed over is held by its holder, forgotten where nobody speaks of it, and settled by whoever does', async () => {
  const { budgetId, home, path, call, newGateway, amounts } = await newPool()
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 60 })
  const holder = holderOf('batch', randomUUID())
  const handed = [{ holder, amount: 50 }]
  const over = gateway.totals(1, budgetId, { granted: 60, settled_total: 10, returned_total: 50, done: true, handed })
  await gateway.report(over)
  await gateway.report({ ...over, version: over.version + 1 })
  assert.deepEqual(await amounts(), [10, 50, 0, 40])
  const holders = async () =>
    (await call('GET', `${path}/leases`)).body.gateways.map((each: Record<string, unknown>) => each.gateway_id)
  assert.deepEqual(await holders(), [holder])
  // Not of a batch, whatever its name begins with.
  const namesake = newGateway(1, `batches-${randomUUID()}`)
  await namesake.ask({ budgetId, want: 5 })

  const { owner, owned } = await ownedHome(home)
  const laterMs = Date.now() + 27 * 60 * 60_000
  const dueAt = async (nowMs: number) =>
    (await findDueSweeps(env.db, [home], { silentBeforeMs: 0, sinceMs: 0, nowMs })).silent.has(home)
  assert.deepEqual([await dueAt(Date.now()), await dueAt(laterMs)], [false, true])
  assert.equal((await sweepSilent(env.db, owner, owned, 0, Date.now())).silent, 0)
  assert.ok((await sweepSilent(env.db, owner, owned, 0, laterMs)).silent >= 1)
  assert.deepEqual(await amounts(), [10, 55, 50, 35])

  const poller = leaseClient(env.gateway, holder, 1, home)
  const lease_id = handedLeaseId(holder, over.lease_id)
  const { handed: _, ...totals } = over
  const ended = { ...totals, lease_id, granted: 50, settled_total: 20, returned_total: 30 }
  for (let pollers = 0; pollers < 2; pollers++) await poller.report({ ...ended, version: Number.MAX_SAFE_INTEGER })
  assert.deepEqual(await amounts(), [30, 5, 0, 65])
  assert.deepEqual(await holders(), [namesake.gatewayId])
})

test('what is unresolved for too long is given up, and stands in the list', async () => {
  const { budgetId, home, path, call, newGateway, amounts } = await newPool()
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 30 })
  const unresolved = [{ attempt_id: 'att_1', amount: 12 }]
  const totals = gateway.totals(1, budgetId, { granted: 30, settled_total: 10, unresolved, done: true })
  await gateway.report(totals)
  const { owner, owned } = await ownedHome(home)
  const dueSince = async (sinceMs: number) =>
    (await findDueSweeps(env.db, [home], { silentBeforeMs: 0, sinceMs, nowMs: Date.now() })).unresolved.has(home)
  assert.equal(await dueSince(Date.now() + 1_000), true)
  await expireUnresolved(env.db, owner, owned, Date.now() - 60_000, Date.now())
  assert.deepEqual(await amounts(), [10, 12, 12, 78])
  assert.ok((await expireUnresolved(env.db, owner, owned, Date.now() + 1_000, Date.now())).expired >= 1)
  assert.equal(await dueSince(Date.now() + 1_000), false)
  assert.deepEqual(await amounts(), [10, 0, 0, 90])
  await gateway.report({ ...totals, version: 9 })
  assert.deepEqual(await amounts(), [10, 0, 0, 90])
  const [entry] = (await call('GET', `${path}/leases`)).body.given_up
  assert.deepEqual([entry.action, entry.by, entry.note.amount], ['unresolved-expired', 'service budget', 12])
})

test('slots of a gateway that is gone are free an hour after it fell silent, its money a day after', async () => {
  const { projectId, budgetId, home, call, newGateway, amounts } = await newPool({
    unit: 'concurrent',
    window: 'total',
    limit: '3',
  })
  const money = { name: 'Money', unit: 'usd', limit: '1', window: 'total', mode: 'hard' }
  const made = (await call('POST', `${projectId}/budgets`, money)).body.id
  const unresolvedMoney = async () => (await call('GET', `${projectId}/budgets/${made}`)).body.unresolved
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 2 }, { budgetId: made, want: 1_000_000_000 })
  const { owner, owned } = await ownedHome(home)
  await sweepSilent(env.db, owner, owned, Date.now() + 1_000, Date.now())
  assert.deepEqual([await amounts(), await unresolvedMoney()], [[0, 2, 2, 1], '1.00'])
  const minute = 60_000
  const sweep = async (afterMs: number) => {
    const nowMs = Date.now() + afterMs
    const since = { silentBeforeMs: 0, sinceMs: nowMs - 24 * 60 * minute, nowMs }
    const isDue = (await findDueSweeps(env.db, [home], since)).unresolved.has(home)
    await expireUnresolved(env.db, owner, owned, since.sinceMs, nowMs)
    return isDue
  }
  assert.equal(await sweep(59 * minute), false)
  assert.deepEqual(await amounts(), [0, 2, 2, 1])
  assert.equal(await sweep(61 * minute), true)
  assert.deepEqual([await amounts(), await unresolvedMoney()], [[0, 0, 0, 3], '1.00'])
})

test('a raise lifts the limit until its time, by itself, and is in every answer', async () => {
  const { budgetId, path, call, newGateway, get } = await newPool({ limit: '10' })
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 10 })
  await gateway.report(gateway.totals(1, budgetId, { granted: 10, settled_total: 10, done: true }))
  await eventually(async () => (await get()).cutoff.active)
  // Long enough to look at it, also where the machine is slow.
  const until = new Date(Date.now() + 5_000).toISOString()
  for (const [body, code] of [
    [{ amount: '5', until: '2001-01-01', reason: 'late' }, 'invalid_until'],
    [{ amount: '5', until: '2401-01-01', reason: 'for ever' }, 'invalid_until'],
    [{ amount: '0', until, reason: 'nothing' }, 'invalid_amount'],
    [{ amount: 'five', until, reason: 'words' }, 'invalid_amount'],
    [{ amount: '9007199254740991', until, reason: 'too much' }, 'invalid_amount'],
  ] as const)
    assert.equal((await call('POST', `${path}/raises`, body)).body.error.code, code, body.reason)
  const raised = await call('POST', `${path}/raises`, { amount: '5', until, reason: 'release day' })
  assert.deepEqual(
    [raised.status, raised.body.limit, raised.body.limit_in_force, raised.body.left, raised.body.cutoff.active],
    [201, '10', '15', '5', false],
  )
  assert.deepEqual(
    raised.body.raises.map((raise: Record<string, string>) => [raise.amount, raise.until, raise.reason]),
    [['5', until, 'release day']],
  )
  const budgets = await openBucket(env.gateway, 'budgets', Budget)
  await eventually(async () => (await budgets.get(budgetId))?.limit === 15)
  const renamed = await call('PATCH', path, { name: 'Renamed' })
  assert.deepEqual([renamed.body.limit, renamed.body.limit_in_force], ['10', '15'])
  assert.equal((await gateway.ask({ budgetId, want: 3 })).grants.length, 1)
  await eventually(async () => (await budgets.get(budgetId))?.limit === 10)
  const over = await get()
  assert.deepEqual([over.limit_in_force, over.raises, over.cutoff.active, over.held], ['10', [], true, '3'])
  assert.equal((await gateway.ask({ budgetId, want: 1 })).refusal?.limit, 10)
})

test('a preview says which budgets a call meets, what is left, and which says no', async () => {
  const { projectId, call, budgetId, newGateway } = await newPool({ name: 'All' })
  const make = async (body: object) =>
    (await call('POST', `${projectId}/budgets`, { unit: 'usd', limit: '1', window: 'day', ...body })).body.id
  const seat = await make({ name: 'Seats', mode: 'hard', per: 'member' })
  await make({ name: 'Another model', scope: { model: 'other' } })
  const alert = await make({ name: 'Watch', mode: 'alert', limit: '0.001' })
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 100 })
  const preview = async (body: object) => {
    const { body: answer } = await call('POST', `${projectId}/budgets/preview`, body)
    return [
      answer.refused_by,
      answer.budgets.map((met: Record<string, unknown>) => [met.id, met.copy, met.amount, met.left, met.refuses]),
    ]
  }
  const dimensions = { member: 'mem_1', model: 'gpt-4o-mini' }
  assert.deepEqual(await preview({ dimensions, amounts: { usd: '2' } }), [
    budgetId,
    [
      [budgetId, '', '1', '0', 'held'],
      [seat, 'mem_1', '2.00', '1.00', 'spent'],
      [alert, '', '2.00', '0.001', null],
    ],
  ])
  assert.deepEqual(await preview({ amounts: { requests: 0 } }), [
    null,
    [
      [budgetId, '', '0', '0', null],
      [alert, '', '0.00', '0.001', null],
    ],
  ])
  await gateway.report(gateway.totals(1, budgetId, { granted: 100, settled_total: 100, done: true }))
  const spent = await preview({ amounts: { requests: 0 } })
  assert.deepEqual([spent[0], spent[1][0]], [budgetId, [budgetId, '', '0', '0', 'spent']])
  const wrong = await call('POST', `${projectId}/budgets/preview`, { amounts: { usd: 'two' } })
  assert.equal(wrong.body.error.code, 'invalid_amount')
  assert.match(wrong.body.error.message, /^Give "amounts\.usd" as text: decimal USD/)
})

test('a database that was restored grants nothing until gateways have said what they hold, and then holds it', async () => {
  const { budgetId, home, newGateway, amounts } = await newPool()
  const gateway = newGateway()
  await gateway.ask({ budgetId, want: 40 })
  const { lease_id: leaseId } = gateway.totals(1, budgetId)
  // A part of a lease that nobody but a batch remembers.
  const holder = holderOf('batch', 'e1')
  const batch = leaseClient(env.gateway, holder, 1, home)
  // A gateway that has died since then, and what it has handed over.
  const dead = newGateway()
  await dead.ask({ budgetId, want: 9 })
  const heir = holderOf('batch', 'e2')
  // The grant came after the backup, on another cluster.
  await sql`delete from leases where budget_id = ${budgetId}`.execute(env.db)
  await sql`delete from budget_windows where budget_id = ${budgetId}`.execute(env.db)
  await sql`update lease_gateways set heard_at_ms = 0 where home = ${home}`.execute(env.db)
  await sql`update partition_owners set timeline = 'another 00000001' where home = ${home}`.execute(env.db)
  const newcomer = newGateway()
  const asked = async (seq: number) => (await newcomer.askAs(seq, [{ budgetId, want: 50 }])).refusal?.reason
  assert.equal(await asked(1), 'recovering')
  assert.deepEqual((await gateway.heartbeat([], { from_seq: 1, below_seq: 2, lease_ids: [leaseId] })).unknown, [
    leaseId,
  ])
  await newcomer.heartbeat([], { from_seq: 1, below_seq: 2, lease_ids: [] })
  assert.equal(await asked(2), 'recovering')
  const handed = [{ holder: heir, amount: 5 }]
  const ended = dead.totals(1, budgetId, { granted: 9, settled_total: 0, returned_total: 9, handed })
  for (let times = 0; times < 2; times++) await dead.hello(1, ended)
  assert.deepEqual(await amounts(), [0, 5, 0, 95])
  await gateway.report(gateway.totals(1, budgetId, { granted: 40, settled_total: 15 }))
  assert.deepEqual(await amounts(), [15, 30, 0, 55])
  const told = await gateway.heartbeat([], { from_seq: 1, below_seq: 2, lease_ids: [leaseId] })
  assert.equal(told.recovering, true)
  let seq = 2
  // All gateways have listed what they have, long enough ago, and nobody what the batch has.
  await sql`update partition_owners set recovering_since_ms = recovering_since_ms - 6000 where home = ${home}`.execute(
    env.db,
  )
  await gateway.heartbeat([])
  assert.equal(await asked(++seq), 'recovering')
  await batch.report(
    batch.totals(1, budgetId, { lease_id: handedLeaseId(holder, `${gateway.gatewayId}-1-2-0`), granted: 20 }),
  )
  assert.deepEqual(await amounts(), [15, 50, 0, 35])
  await gateway.heartbeat([], { from_seq: 1, below_seq: 2, lease_ids: [leaseId], holders: true })
  const reason = await eventually(async () => {
    const refusal = await asked(++seq)
    return refusal !== 'recovering' && refusal
  })
  assert.equal(reason, 'held')
})

test('a home that nobody asks anything notes, too, on which database its leases are', async () => {
  await sql`update partition_owners set timeline = null`.execute(env.db)
  await eventually(
    async () => (await sql`select from partition_owners where timeline is null`.execute(env.db)).rows.length === 0,
  )
})
