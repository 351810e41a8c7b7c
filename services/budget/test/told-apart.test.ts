import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { followBucket, openBucket } from '@sluice/bus'
import { BudgetWindow, cutoffKey, type LeaseTotals, mostToldApart, partitionOf } from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import { transact } from '@sluice/postgres'
import { eventually, sized, type UsageOverrides } from '@sluice/test-env'
import { findBudget } from '../src/budget-store.ts'
import { pruneLeases } from '../src/homes/sweep-store.ts'
import { findMetBudgets } from '../src/met-budgets-store.ts'
import { listEndedCopies, pruneOld } from '../src/rollover-store.ts'
import { sumFacts } from '../src/spend-fact-store.ts'
import { forgetDeletions } from '../src/state-publisher.ts'
import { nameCopies } from '../src/told-apart-store.ts'
import { startWindowPublisher } from '../src/window-publisher.ts'
import { rebuildWindows } from '../src/window-rebuild-store.ts'
import { addToWindows } from '../src/window-store.ts'
import { fileScope, openService, startService } from './budget-service.ts'
import { leaseClient } from './lease-client.ts'

const env = await openService(fileScope)
// Homes and usage are shared by two, as they are where one of them may fail.
await startService(fileScope, env)
const cents = 10_000_000
const session = (at: number) => `session ${at}`

interface Copy {
  copy: string
  spent: string
  cutoff: { active: boolean }
}

/** A budget with copies, and the shared one that bounds them. */
async function newBudget(body: { per: string; unit?: string; mode?: string; [member: string]: string | undefined }) {
  const { projectId, call } = await env.newProject()
  const { unit = 'usd', mode } = body
  const shared = await eventually(async () => {
    const above = { name: 'All', unit, limit: '9000000', window: 'month', ...(mode !== undefined && { mode }) }
    const answer = await call(
      'POST',
      `${projectId}/budgets`,
      unit === 'concurrent' ? { ...above, window: 'total' } : above,
    )
    return answer.status === 401 ? undefined : answer
  })
  assert.equal(shared.status, 201, JSON.stringify(shared.body))
  const made = await call('POST', `${projectId}/budgets`, {
    ...{ name: 'Each', unit, limit: '1.00', window: 'day' },
    ...body,
  })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const budgetId: string = made.body.id
  const copies = async (id = budgetId) => {
    const { body: shown } = await call('GET', `${projectId}/budgets/${id}`)
    return new Map((shown.copies as Copy[]).map(copy => [copy.copy, copy]))
  }
  /** In messages as large as gateways send. */
  const send = async (events: UsageOverrides[]) => {
    for (let at = 0; at < events.length; at += 200) await env.send(projectId, events.slice(at, at + 200))
  }
  const parent = { accountId: 'acct_test', projectId }
  return { projectId, call, budgetId, sharedId: shared.body.id as string, copies, send, parent }
}

const inSession = (at: number, cost: number): UsageOverrides => ({
  claimed: { session_id: session(at) },
  cost_nano_usd: cost,
})

test('of what callers choose a thousand values in a window have a copy each, all others share one, whoever counts again', async () => {
  const { projectId, call, budgetId, copies, send, parent } = await newBudget({ per: 'session' })
  const shown = await followBucket(env.gateway, 'budget-windows', BudgetWindow, { log: env.log })
  const published = () =>
    [...shown.entries()].filter(([, { budget_id: id }]) => id === budgetId).map(([, { copy }]) => copy)
  await send(Array.from({ length: mostToldApart }, (_, at) => inSession(at, cents)))
  await eventually(async () => (await copies()).size === mostToldApart)
  await send(Array.from({ length: 5 }, (_, at) => inSession(mostToldApart + at, 30 * cents)))
  await send([inSession(3, cents), { cost_nano_usd: cents }])
  const now = await eventually(async () => {
    const found = await copies()
    return found.get('other')?.spent === '1.50' && found.get(session(3))?.spent === '0.02' && found
  })
  assert.equal(now.size, mostToldApart + 2)
  assert.equal(now.get('unknown')?.spent, '0.01', 'who says nothing needs no place')
  assert.deepEqual(
    [...now.values()].filter(({ cutoff }) => cutoff.active).map(({ copy }) => copy),
    ['other'],
  )
  await eventually(() => published().length === mostToldApart + 2)
  assert.equal(shown.get(cutoffKey(budgetId, 'other'))?.full, true)
  await shown.close()

  // Asked before a call, after it, and when everything is counted again, it is the same.
  const preview = async (name: string) =>
    (await call('POST', `${projectId}/budgets/preview`, { dimensions: { session: name } })).body.budgets.find(
      ({ copy }: { copy: string }) => copy !== '',
    )
  const [known, unheard] = [await preview(session(3)), await preview('unheard of')]
  assert.deepEqual([known.copy, known.refuses, unheard.copy, unheard.refuses], [session(3), null, 'other', 'spent'])
  const metBy = async (at: number) => {
    const call = {
      account_id: 'acct_test',
      project_id: projectId,
      team_id: 'unassigned',
      credential_kind: 'key' as const,
    }
    const asked = { identity: call, claimed: { session_id: session(at) }, provider: 'openai', model: 'gpt-4o-mini' }
    const atMs = Date.now()
    const { budgets } = await findMetBudgets(env.db, { ...asked, admitted_at_ms: atMs, ended_at_ms: atMs }, windowAt)
    return budgets.flatMap(({ copy, spent_before }) => (copy === '' ? [] : [[copy, Number(spent_before)]]))
  }
  // Sums that a crowded database has no time for are left out.
  const met = await eventually(async () => {
    const both = [await metBy(3), await metBy(mostToldApart)]
    return both.every(([copy]) => !Number.isNaN(copy?.[1])) && both
  })
  assert.deepEqual(met, [[[session(3), 2 * cents]], [['other', 150 * cents]]])
  const rebuilt = await rebuildWindows(env.db, parent, budgetId, windowAt, Date.now(), 0)
  assert.equal(rebuilt.corrected, 0)

  // One that is made now begins with what its window has spent: who has spent most is told apart.
  const { body: later } = await call('POST', `${projectId}/budgets`, {
    name: 'Later',
    unit: 'usd',
    limit: '1.00',
    window: 'day',
    per: 'session',
  })
  const begun = await copies(later.id)
  assert.equal(begun.size, mostToldApart + 2)
  assert.deepEqual([begun.get(session(mostToldApart))?.spent, begun.get('other')?.spent], ['0.30', '0.05'])
})

test('gateways and usage that name values at the same time name a thousand, and money is held of a copy that all others share', async () => {
  const { projectId, call, budgetId, copies, send } = await newBudget({
    per: 'app',
    mode: 'hard',
    hold: 'exact',
    limit: '0.10',
  })
  const home = partitionOf(projectId)
  const { startMs } = windowAt('day', 'UTC', Date.now())
  const gateways = [1, 2].map(number => leaseClient(env.gateway, `gw_told_${number}`, 1, home))
  const pool = (copy: string) => ({ budgetId, copy, windowStartMs: startMs, want: cents })
  const reasons = new Map<string, string>()
  const asked = sized({ small: 120, full: 600 })
  const askAll = async (gateway: (typeof gateways)[number], from: number) => {
    for (let at = from; at < from + asked; at += 60)
      await Promise.all(
        Array.from({ length: 60 }, async (_, more) => {
          const app = `app ${at + more}`
          reasons.set(app, (await gateway.ask(pool(app))).refusal?.reason ?? 'granted')
        }),
      )
  }
  const [first, second] = gateways
  assert.ok(first && second)
  // Those that are named already; a third of what two gateways name is the same.
  const before = sized({ small: 800, full: 0 })
  await transact(env.db, trx =>
    addToWindows(
      trx,
      Array.from({ length: before }, (_, at) => ({
        ...{ budgetId, copy: `before ${at}`, window: windowAt('day', 'UTC', Date.now()), amount: 1n },
      })),
      Date.now(),
    ),
  )
  await Promise.all([
    askAll(first, 0),
    askAll(second, (asked * 2) / 3),
    send(Array.from({ length: asked / 3 }, (_, at) => ({ claimed: { app: `used ${at}` }, cost_nano_usd: 1 }))),
  ])
  const found = await eventually(async () => {
    const all = await copies()
    return all.size >= mostToldApart && all
  })
  const own = [...found.keys()].filter(copy => copy !== 'other')
  assert.equal(own.length, mostToldApart)
  const granted = [...reasons].filter(([, reason]) => reason === 'granted').map(([app]) => app)
  const others = [...reasons].filter(([, reason]) => reason === 'other_copy').map(([app]) => app)
  assert.equal(granted.length + others.length, reasons.size, [...new Set(reasons.values())].join())
  assert.deepEqual([granted.every(app => found.has(app)), others.some(app => found.has(app))], [true, false])
  // Whoever named one before goes on with it, whichever gateway it comes to.
  assert.equal((await second.ask(pool(granted[0] ?? ''))).grants[0]?.amount, cents)
  assert.equal((await first.ask({ ...pool('app never heard of') })).refusal?.reason, 'other_copy')
  // What is left of the shared copy is one limit, for all of them.
  const shared = await first.ask({ ...pool('other'), want: 20 * cents, need: 1 })
  assert.ok((shared.grants[0]?.amount ?? 0) <= 10 * cents && (shared.grants[0]?.amount ?? 0) > 9 * cents)
  assert.equal((await second.ask(pool('other'))).refusal?.copy, 'other')
  const held: string[] = []
  // On which page it is depends on who was the first to name how many.
  for (let page = ''; ; ) {
    const { body: leases } = await call('GET', `${projectId}/budgets/${budgetId}/leases${page}`)
    for (const { copy } of leases.gateways) held.push(copy)
    if (leases.continuation_token === null) break
    page = `?continuation_token=${leases.continuation_token}`
  }
  assert.ok(held.includes('other'))
})

test('a place is taken by what is granted alone: what is refused, and what comes back unused, leaves it to others', async () => {
  const { projectId, call, budgetId, sharedId, copies } = await newBudget({ per: 'agent', mode: 'hard', hold: 'exact' })
  const { startMs } = windowAt('day', 'UTC', Date.now())
  const month = windowAt('month', 'UTC', Date.now()).startMs
  const gateway = leaseClient(env.gateway, 'gw_places', 1, partitionOf(projectId))
  const askOf = (copy: string, want = cents) =>
    gateway.ask({ budgetId, copy, windowStartMs: startMs, want }, { budgetId: sharedId, windowStartMs: month, want })
  const values = async () => [...(await copies()).keys()]
  assert.equal((await askOf('greedy', 200 * cents)).refusal?.reason, 'spent')
  assert.deepEqual(await values(), [])

  const { grants } = await askOf('agent 1')
  assert.equal(grants[0]?.amount, cents)
  assert.deepEqual(await values(), ['agent 1'])
  const settled = (id: string, copy: string, windowStartMs: number, settledTotal: number, at: number): LeaseTotals =>
    gateway.totals(gateway.lastSeq, id, {
      ...{ lease_id: grants[at]?.lease_id ?? '', copy, window_start_ms: windowStartMs, granted: cents, done: true },
      ...{ settled_total: settledTotal, returned_total: cents - settledTotal },
    })
  await gateway.report(settled(budgetId, 'agent 1', startMs, 0, 0), settled(sharedId, '', month, 0, 1))
  assert.deepEqual(await values(), [], 'nothing was used of it')
  assert.equal(
    (
      await gateway.askAs(gateway.lastSeq, [
        { budgetId, copy: 'agent 1', windowStartMs: startMs, want: cents },
        { budgetId: sharedId, windowStartMs: month, want: cents },
      ])
    ).refusal?.reason,
    'fenced',
    'its leases stay closed',
  )

  await pruneLeases(env.db, Date.now() + 60_000, 5_000)
  const left = await env.db.selectFrom('leases').select('lease_id').where('copy', '=', 'agent 1').execute()
  assert.deepEqual(left, [], 'and are forgotten with what they were of')

  // While every place is taken, who says nothing and the shared copy have theirs; a deleted one leaves nothing behind.
  await transact(env.db, trx =>
    addToWindows(
      trx,
      Array.from({ length: mostToldApart }, (_, at) => ({
        ...{ budgetId, copy: `agent ${at}`, window: windowAt('day', 'UTC', Date.now()), amount: 1n },
      })),
      Date.now(),
    ),
  )
  assert.equal((await askOf('late')).refusal?.reason, 'other_copy')
  for (const copy of ['unknown', 'other', 'agent 1']) assert.equal((await askOf(copy)).grants[0]?.amount, cents, copy)
  const ahead = await gateway.ask(
    { budgetId, copy: 'late', windowStartMs: startMs, want: cents, need: 0 },
    { budgetId: sharedId, windowStartMs: month, want: cents, need: 0 },
  )
  assert.deepEqual(
    ahead.grants.map(({ amount }) => amount),
    [0, cents],
    'money ahead of calls: the others of an ask get theirs',
  )
  assert.equal((await call('DELETE', `${projectId}/budgets/${budgetId}`)).status, 204)
})

test('the next window tells values apart anew, and those of a minute or an hour are kept for days; slots that nobody has leave their places', async () => {
  const { budgetId, projectId } = await newBudget({ per: 'agent', window: 'minute', unit: 'requests', limit: '5' })
  const slots = await newBudget({ per: 'agent', unit: 'concurrent', window: 'total', limit: '2', mode: 'hard' })
  const nowMs = Date.now()
  const minuteAgo = (days: number, minutes = 0) =>
    windowAt('minute', 'UTC', nowMs - days * 86_400_000 - minutes * 60_000)
  const name = (id: string, window: { startMs: number; endMs: number | undefined }, values: string[]) =>
    transact(env.db, trx =>
      nameCopies(
        trx,
        values.map(copy => ({ budgetId: id, copy, window, amount: 0n })),
        nowMs,
      ),
    )
  const many = Array.from({ length: mostToldApart }, (_, at) => `agent ${at}`)
  const [older = minuteAgo(0), last = minuteAgo(0)] = [minuteAgo(0, 2), minuteAgo(0, 1)]
  for (const window of [older, last]) {
    assert.equal((await name(budgetId, window, many)).size, 0)
    assert.equal((await name(budgetId, window, ['agent 5', 'late 1', 'late 2'])).size, 2)
  }
  const ended = await listEndedCopies(env.db, older.startMs, nowMs)
  assert.equal(ended.filter(copy => copy.budgetId === budgetId).length, mostToldApart)
  const hourly = await newBudget({ per: 'agent', window: 'hour' })
  const [recent, old] = [2, 4].map(days => ({
    minute: minuteAgo(days),
    hour: windowAt('hour', 'UTC', nowMs - days * 86_400_000),
  }))
  assert.ok(recent && old)
  for (const { hour } of [recent, old]) await name(hourly.budgetId, hour, ['agent 1'])
  await name(budgetId, old.minute, ['agent 1'])
  await pruneOld(env.db, nowMs)
  const hours = await env.db
    .selectFrom('budget_windows')
    .select('window_start_ms')
    .where('budget_id', '=', hourly.budgetId)
    .execute()
  assert.deepEqual(
    hours.map(row => Number(row.window_start_ms)),
    [recent.hour.startMs],
  )
  const kept = await env.db
    .selectFrom('budget_windows')
    .select(({ fn }) => fn.countAll<string>().as('rows'))
    .where('budget_id', '=', budgetId)
    .executeTakeFirst()
  assert.equal(Number(kept?.rows), 2 * mostToldApart)

  const total = { startMs: 0, endMs: undefined }
  const gateway = leaseClient(env.gateway, 'gw_slots', 1, partitionOf(slots.projectId))
  const slot = { budgetId: slots.budgetId, copy: 'agent 0', want: 1 }
  const [grant] = (await gateway.ask(slot)).grants
  assert.equal((await name(slots.budgetId, total, [...many, 'late'])).size, 1)
  await gateway.report(
    gateway.totals(1, slots.budgetId, {
      ...{ lease_id: grant?.lease_id ?? '', copy: 'agent 0', granted: 1, returned_total: 1, done: true },
    }),
  )
  assert.equal((await name(slots.budgetId, total, ['late'])).size, 0)
  assert.ok(projectId)
})

test('places that a service has made and stopped before it could grant of them are free again after a minute', async () => {
  const { projectId, budgetId, copies } = await newBudget({ per: 'agent', unit: 'requests', mode: 'hard', limit: '5' })
  const window = windowAt('day', 'UTC', Date.now())
  const many = Array.from({ length: mostToldApart }, (_, at) => `agent ${at}`)
  const name = (values: string[], atMs: number) =>
    transact(env.db, trx =>
      nameCopies(
        trx,
        values.map(copy => ({ budgetId, copy, window, amount: 0n })),
        atMs,
      ),
    )
  const gateway = leaseClient(env.gateway, 'gw_left', 1, partitionOf(projectId))
  const askOf = (copy: string) => gateway.ask({ budgetId, copy, windowStartMs: window.startMs, want: 1 })
  assert.equal((await askOf('used')).grants[0]?.amount, 1)
  await name(many.slice(0, -2), Date.now() - 61_000)
  await name(['agent new'], Date.now())
  assert.equal((await askOf('late')).refusal?.reason, 'other_copy')
  assert.equal((await askOf('other')).grants[0]?.amount, 1)
  const shown = await followBucket(env.gateway, 'budget-windows', BudgetWindow, { log: env.log })
  const other = () => shown.get(cutoffKey(budgetId, 'other'))
  await eventually(() => other()?.full === true)

  await startService(fileScope, env)
  await eventually(async () => (await copies()).size === 3)
  assert.deepEqual([...(await copies()).keys()].sort(), ['agent new', 'other', 'used'])
  await eventually(() => other() !== undefined && other()?.full === undefined)
  await shown.close()
  assert.equal((await askOf('late')).grants[0]?.amount, 1)
})

test('a copy without a running window is taken out of what gateways see, and one that another instance has begun meanwhile stays', async () => {
  const { budgetId } = await newBudget({ per: 'agent' })
  const budgetBus = await env.connectAs('budget')
  const bucket = await openBucket(budgetBus, 'budget-windows', BudgetWindow)
  const documentOf = (copy: string): BudgetWindow => ({
    ...{ budget_id: budgetId, copy, window_start_ms: 0, spent: 1, held: 0, limit: 1, updated_at_ms: 1 },
  })
  const [gone, begun] = ['gone', 'begun'].map(copy => ({ budgetId, copy, key: cutoffKey(budgetId, copy) }))
  assert.ok(gone && begun)
  for (const { key, copy } of [gone, begun]) await bucket.put(key, documentOf(copy))
  let reads = 0
  const publisher = await startWindowPublisher(
    budgetBus,
    async () => {
      // Between its second look and its deletion, another has begun it.
      if (++reads === 2) await bucket.put(begun.key, { ...documentOf('begun'), spent: 2 })
      return []
    },
    { log: env.log, intervalMs: 1 },
  )
  publisher.touch([gone, begun])
  await eventually(async () => (await bucket.get(gone.key)) === undefined)
  await publisher.close()
  assert.equal((await bucket.get(begun.key))?.spent, 2)
})

test('copies that end together are written some at a time, and those that cannot be written keep no others waiting', async () => {
  const { budgetId } = await newBudget({ per: 'agent' })
  const budgetBus = await env.connectAs('budget')
  const bucket = await openBucket(budgetBus, 'budget-windows', BudgetWindow)
  const copies = Array.from({ length: 1_200 }, (_, at) => ({ budgetId, copy: `agent ${at}` }))
  const asked: number[] = []
  const publisher = await startWindowPublisher(
    budgetBus,
    async some => {
      asked.push(some.length)
      if (asked.length === 1) throw new Error('the database is away')
      return some.map(({ copy }) => {
        const sum = { budgetId, copy, window: windowAt('day', 'UTC', Date.now()), amount: 1n }
        const held = { settled: 0n, unresolved: 0n, outstanding: 0n }
        return { sum: { ...sum, ...held }, limit: 1, isFull: false, updatedAtMs: 1 }
      })
    },
    { log: env.log, intervalMs: 1 },
  )
  publisher.touch(copies)
  const keyOf = (at: number) => cutoffKey(budgetId, `agent ${at}`)
  await eventually(async () => (await bucket.get(keyOf(1_199)))?.spent === 1)
  assert.deepEqual(asked.slice(0, 3), [500, 500, 200])
  await eventually(async () => (await bucket.get(keyOf(0)))?.spent === 1)
  await publisher.close()
  assert.deepEqual(asked, [500, 500, 200, 500])
})

test('of copies that have gone nothing is left in the buckets after an hour; those that are there stay', async () => {
  const budgetBus = await env.connectAs('budget')
  const { streams } = await jetstreamManager(budgetBus.connection)
  const here = async (key: string) => {
    const { state } = await streams.info('KV_budget-windows', { subjects_filter: `$KV.budget-windows.${key}` })
    return state.subjects !== undefined
  }
  const bucket = await openBucket(budgetBus, 'budget-windows', BudgetWindow)
  const documentOf = (copy: string): BudgetWindow => ({
    ...{ budget_id: 'bud_gone', copy, window_start_ms: 0, spent: 1, held: 0, limit: 1, updated_at_ms: 1 },
  })
  const [gone = '', again = '', stays = ''] = ['gone', 'again', 'stays'].map(copy => cutoffKey('bud_gone', copy))
  for (const [key, copy] of [
    [gone, 'gone'],
    [again, 'again'],
    [stays, 'stays'],
  ] as const)
    await bucket.put(key, documentOf(copy))
  for (const key of [gone, again]) await bucket.delete(key)
  await bucket.put(again, documentOf('again'))

  await forgetDeletions(budgetBus, Date.now())
  assert.equal(await here(gone), true, 'gateways that were away for a while hear of it')
  assert.equal(await forgetDeletions(budgetBus, Date.now() + 61 * 60_000), false)
  assert.deepEqual([await here(gone), await here(again), await here(stays)], [false, true, true])
  assert.equal((await bucket.get(again))?.copy, 'again')
})

test('tags that every object has are tags like others: nothing else stops being counted', async () => {
  const { copies, send, projectId, budgetId } = await newBudget({ per: 'tag:constructor' })
  const proto = await newBudget({ per: 'tag:__proto__', unit: 'requests', mode: 'hard', limit: '5' })
  const other = await newBudget({ per: 'app' })
  const tagged = (tags: Record<string, string>): UsageOverrides => ({ claimed: { tags }, cost_nano_usd: cents })
  await send([tagged({ ticket: 'T-1' }), tagged({ constructor: 'mine' } as Record<string, string>)])
  await proto.send([tagged({ ticket: 'T-1' }), tagged(JSON.parse('{"__proto__":"mine"}'))])
  await other.send([{ claimed: { app: 'codex' }, cost_nano_usd: cents }])
  const spent = async (of: () => ReturnType<typeof copies>) =>
    [...(await of()).values()].map(copy => `${copy.copy} ${copy.spent}`)
  await eventually(
    async () => (await copies()).size === 2 && (await proto.copies()).size === 2 && (await other.copies()).size === 1,
  )
  assert.deepEqual(await spent(copies), ['mine 0.01', 'unknown 0.01'])
  assert.deepEqual(await spent(proto.copies), ['mine 1', 'unknown 1'])
  assert.deepEqual(await spent(other.copies), ['codex 0.01'])
  assert.equal(
    (await rebuildWindows(env.db, { accountId: 'acct_test', projectId }, budgetId, windowAt, Date.now(), 0)).corrected,
    0,
  )
})

test('copies for what callers choose stand beneath a shared budget that bounds them, as long as they stand', async () => {
  const { projectId, call, budgetId, sharedId } = await newBudget({ per: 'session', mode: 'soft' })
  const path = `${projectId}/budgets`
  const make = async (body: object) => {
    const { status, body: answer } = await call('POST', path, {
      name: 'X',
      unit: 'usd',
      limit: '1',
      window: 'day',
      ...body,
    })
    return status === 201 ? 201 : answer.error.code
  }
  assert.equal(await make({ per: 'session', mode: 'hard' }), 'shared_budget_missing', 'the shared one is soft')
  assert.equal(await make({ per: 'session', unit: 'tokens' }), 'shared_budget_missing')
  assert.equal(await make({ per: 'tag:ticket', window: 'total' }), 'per_needs_window')
  assert.equal(await make({ per: 'member', window: 'total' }), 201, 'what is signed has no such end')

  const { status, body: refused } = await call('DELETE', `${path}/${sharedId}`)
  assert.deepEqual([status, refused.error.code], [409, 'shared_budget_missing'])
  assert.match(refused.error.message, /^Budget "Each" has a copy/)
  assert.equal((await call('PATCH', `${path}/${sharedId}`, { mode: 'alert' })).status, 409)
  assert.equal((await call('PATCH', `${path}/${budgetId}`, { mode: 'hard' })).status, 409)
  assert.equal((await call('GET', `${path}/${sharedId}`)).body.mode, 'soft', 'nothing has changed')
  assert.equal((await call('PATCH', `${path}/${sharedId}`, { mode: 'hard', limit: '5' })).status, 200)
  assert.equal((await call('PATCH', `${path}/${budgetId}`, { mode: 'hard' })).status, 200)
  assert.equal((await call('PATCH', `${path}/${sharedId}`, { mode: 'soft' })).status, 409)
  const twoAtOnce = await Promise.all([make({ per: 'agent' }), call('DELETE', `${path}/${budgetId}`)])
  assert.deepEqual([twoAtOnce[0], twoAtOnce[1].status], [201, 204])
  assert.equal((await call('DELETE', `${path}/${sharedId}`)).status, 409, 'another stands beneath it now')
})

test('copies for what callers choose have no thresholds unless somebody sets them', async () => {
  const { projectId, call, budgetId } = await newBudget({ per: 'session' })
  assert.deepEqual((await call('GET', `${projectId}/budgets/${budgetId}`)).body.thresholds, [])
})

test('tags and models have copies, too; who says nothing is unknown, and what is too long is one of the others', async () => {
  const { projectId, call, copies, send, budgetId, parent } = await newBudget({ per: 'tag:ticket' })
  await call('POST', `${projectId}/budgets`, { name: 'All', unit: 'requests', limit: '90', window: 'day' })
  const { body: perModel } = await call('POST', `${projectId}/budgets`, {
    name: 'Models',
    unit: 'requests',
    limit: '9',
    window: 'day',
    per: 'model',
  })
  const tagged = (ticket: string): UsageOverrides => ({ claimed: { tags: { ticket } }, cost_nano_usd: cents })
  await send([
    tagged('T-1'),
    tagged('T-1'),
    tagged('other'),
    { cost_nano_usd: cents },
    { requested_model: 'x'.repeat(1_025), cost_nano_usd: 0 },
  ])
  const spent = async (id?: string) => [...(await copies(id)).values()].map(copy => `${copy.copy} ${copy.spent}`)
  await eventually(async () => (await copies(perModel.id)).size === 2)
  assert.deepEqual(await spent(), ['T-1 0.02', 'other 0.01', 'unknown 0.01'])
  assert.deepEqual(await spent(perModel.id), ['gpt-4o-mini 4', 'other 1'])
  for (const id of [budgetId, perModel.id]) {
    assert.equal((await rebuildWindows(env.db, parent, id, windowAt, Date.now(), 0)).corrected, 0)
    const budget = await findBudget(env.db, parent, id)
    assert.ok(budget)
    const sums = await sumFacts(env.db, budget, windowAt('day', 'UTC', Date.now()))
    assert.equal(sums.length, (await copies(id)).size)
  }
  for (const per of ['tag:', 'tag:Ticket', 'tag', 'provider', 'session '])
    assert.equal(
      (await call('POST', `${projectId}/budgets`, { name: 'x', unit: 'usd', limit: '1', window: 'day', per })).status,
      400,
      per,
    )
})
