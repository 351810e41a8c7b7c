import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { BudgetWindow, Cutoff, cutoffKey } from '@sluice/contracts'
import { eventually } from '@sluice/test-env'
import { fileScope, openService } from './budget-service.ts'

const env = await openService(fileScope, { rolloverIntervalMs: 1_000 })

const usd = { unit: 'usd', window: 'month' }

async function newBudget(body: object, role?: 'admin') {
  const project = await env.newProject(role)
  const { projectId, call } = project
  const created = await eventually(async () => {
    const answer = await call('POST', `${projectId}/budgets`, { name: 'Spend', ...usd, ...body })
    return answer.status === 401 ? undefined : answer
  })
  assert.equal(created.status, 201, JSON.stringify(created.body))
  const id: string = created.body.id
  const pushesOf = () => env.pushes.filter(push => push.budget_id === id)
  const get = async () => (await call('GET', `${projectId}/budgets/${id}`)).body
  return { ...project, id, created: created.body, pushesOf, get }
}

test('the event that reaches the limit pushes one cutoff, however many follow', async () => {
  const { projectId, id, pushesOf, get } = await newBudget({ limit: '0.01' })
  await env.send(projectId, [{ cost_nano_usd: 9_999_999 }])
  await eventually(async () => (await get()).spent === '0.009999999')
  assert.deepEqual(pushesOf(), [])
  await env.send(projectId, [{ cost_nano_usd: 1 }, { cost_nano_usd: 500 }])
  await eventually(() => pushesOf().length > 0)
  await env.send(projectId, [{ cost_nano_usd: 700 }])
  await env.send(projectId, [{ cost_nano_usd: 800 }])
  const budget = await eventually(async () => {
    const state = await get()
    return state.spent === '0.010002' && state
  })
  assert.deepEqual([budget.left, budget.held, budget.cutoff.active], ['0.00', '0.00', true])
  const [push, ...more] = pushesOf()
  assert.deepEqual(more, [])
  assert.deepEqual(
    [push?.active, push?.version, push?.limit, push?.spent, push?.project_id],
    [true, 1, 10_000_000, 10_000_500, projectId],
  )
  assert.equal(push?.until_ms, Date.parse(budget.resets_at))
  const kv = await openBucket(env.gateway, 'cutoffs', Cutoff)
  assert.equal((await eventually(() => kv.get(id))).active, true)
})

test('raising the limit lifts the cutoff at once, lowering it below what is spent cuts at once', async () => {
  const { projectId, id, pushesOf, call } = await newBudget({ limit: '0.01' })
  await env.send(projectId, [{ cost_nano_usd: 15_000_000 }])
  await eventually(() => pushesOf().length === 1)
  const raised = await call('PATCH', `${projectId}/budgets/${id}`, { limit: '0.02' })
  assert.deepEqual([raised.status, raised.body.cutoff, raised.body.left], [200, { active: false }, '0.005'])
  await eventually(() => pushesOf().length === 2)
  const lowered = await call('PUT', `${projectId}/budgets/${id}`, { limit_nano_usd: 15_000_000 })
  assert.equal(lowered.body.cutoff.active, true)
  await eventually(() => pushesOf().length === 3)
  assert.deepEqual(
    pushesOf().map(push => [push.active, push.version]),
    [
      [true, 1],
      [false, 2],
      [true, 3],
    ],
  )
  const kv = await openBucket(env.gateway, 'cutoffs', Cutoff)
  await eventually(async () => (await kv.get(id))?.version === 3)
})

test('deleting a budget lifts its cutoff and takes it out of every bucket', async () => {
  const { projectId, id, pushesOf, call } = await newBudget({ limit: '0.01' })
  await env.send(projectId, [{ cost_nano_usd: 15_000_000 }])
  const kv = await openBucket(env.gateway, 'cutoffs', Cutoff)
  const windows = await openBucket(env.gateway, 'budget-windows', BudgetWindow)
  await eventually(async () => (await kv.get(id)) && (await windows.get(id)))
  assert.equal((await call('DELETE', `${projectId}/budgets/${id}`)).status, 204)
  await eventually(async () => pushesOf().at(-1)?.active === false)
  await eventually(async () => !(await kv.get(id)) && !(await windows.get(id)))
  assert.equal((await call('GET', `${projectId}/budgets/${id}`)).status, 404)
})

test('per makes a copy a member: one at its limit, the other not', async () => {
  const { projectId, id, pushesOf, get } = await newBudget({ limit: '100', unit: 'tokens', per: 'member' })
  const of = (member: string, tokens: number) => ({
    identity: { member_id: member },
    quantities: { in_text: tokens },
  })
  await env.send(projectId, [of('mem_a', 60), of('mem_b', 30), of('mem_a', 40), { quantities: { in_text: 500 } }])
  await eventually(() => pushesOf().length > 0)
  assert.deepEqual(
    pushesOf().map(push => [push.cutoff_id, push.copy, push.spent]),
    [[cutoffKey(id, 'mem_a'), 'mem_a', 100]],
  )
  const { copies } = await get()
  assert.deepEqual(
    copies.map((copy: { copy: string; spent: string; cutoff: { active: boolean } }) => [
      copy.copy,
      copy.spent,
      copy.cutoff.active,
    ]),
    [
      ['mem_a', '100', true],
      ['mem_b', '30', false],
    ],
  )
})

test('a budget made in mid-window starts with what its window has spent, or with nothing where it starts now', async () => {
  const { projectId, call, get } = await newBudget({ limit: '5' })
  await env.send(projectId, [
    { cost_nano_usd: 2_000_000_000, identity: { team_id: 'team_a' } },
    { cost_nano_usd: 1_000_000_000, identity: { team_id: 'team_b' } },
    { cost_nano_usd: 4_000_000_000, identity: { team_id: 'team_a' }, paid_by: 'seat' },
  ])
  await eventually(async () => (await get()).spent === '3.00')
  const make = async (body: object) =>
    (await call('POST', `${projectId}/budgets`, { name: 'Team', ...usd, ...body })).body
  const late = await make({ limit: '2', scope: { team: 'team_a' } })
  assert.deepEqual([late.spent, late.cutoff.active], ['2.00', true])
  const now = await make({ limit: '2', starts_at: 'now' })
  assert.deepEqual([now.spent, now.cutoff.active], ['0.00', false])
  const lifetime = await make({ limit: '10', window: 'total', per: 'team' })
  assert.deepEqual(
    lifetime.copies.map((copy: { copy: string; spent: string }) => [copy.copy, copy.spent]),
    [
      ['team_a', '2.00'],
      ['team_b', '1.00'],
    ],
  )
  assert.equal(lifetime.resets_at, null)
})

test('a late event counts in the window of its admission and cuts nothing there', async () => {
  const { projectId, pushesOf, get } = await newBudget({ limit: '0.01', window: 'minute' })
  const lastMonth = Date.now() - 31 * 86_400_000
  await env.db.updateTable('budgets').set({ counts_from_ms: 0 }).where('project_id', '=', projectId).execute()
  await env.send(projectId, [{ cost_nano_usd: 50_000_000, admitted_at_ms: lastMonth }])
  await eventually(async () => {
    const rows = await env.db
      .selectFrom('budget_windows')
      .innerJoin('budgets', 'budgets.budget_id', 'budget_windows.budget_id')
      .select(['spent', 'window_start_ms'])
      .where('project_id', '=', projectId)
      .execute()
    return rows.some(
      row => Number(row.window_start_ms) === lastMonth - (lastMonth % 60_000) && row.spent === '50000000',
    )
  })
  assert.equal((await get()).spent, '0.00')
  assert.deepEqual(pushesOf(), [])
})

test('an alert budget counts and never cuts', async () => {
  const { projectId, pushesOf, get } = await newBudget({ limit: '1', unit: 'requests', mode: 'alert' })
  await env.send(projectId, [{}, {}, { status: 'failed', http_status: 0, quantities: {}, cost_nano_usd: 0 }])
  await eventually(async () => (await get()).spent === '2')
  assert.deepEqual(pushesOf(), [])
})

test('the end of a window takes its cutoff out of the bucket, and the next one has a higher version', async () => {
  const { projectId, id, pushesOf } = await newBudget({ limit: '0.01', window: 'hour' })
  await env.send(projectId, [{ cost_nano_usd: 15_000_000 }])
  const kv = await openBucket(env.gateway, 'cutoffs', Cutoff)
  const cutoff = await eventually(() => kv.get(id))
  // The clock cannot be turned: the window is ended in the table instead.
  const ended = { ...cutoff, window_start_ms: cutoff.window_start_ms - 3_600_000, until_ms: Date.now() - 1 }
  await env.db
    .updateTable('cutoffs')
    .set({ until_ms: ended.until_ms, document: JSON.stringify(ended) })
    .where('cutoff_id', '=', id)
    .execute()
  await eventually(async () => !(await kv.get(id)))
  await eventually(() => pushesOf().at(-1)?.active === false)
  await env.send(projectId, [{ cost_nano_usd: 1 }])
  await eventually(() => pushesOf().at(-1)?.version === 3)
})

test('gateways see what each copy has spent', async () => {
  const { projectId, id } = await newBudget({ limit: '1' })
  const windows = await openBucket(env.gateway, 'budget-windows', BudgetWindow)
  await env.send(projectId, [{ cost_nano_usd: 1_000 }])
  await env.send(projectId, [{ cost_nano_usd: 2_000 }])
  await eventually(async () => (await windows.get(id))?.spent === 3_000)
})

test('event to cutoff: the time a gateway waits for the push', async t => {
  const times: number[] = []
  for (let round = 0; round < 20; round++) {
    const { projectId, pushesOf } = await newBudget({ limit: '0.01' })
    const sentAt = performance.now()
    await env.send(projectId, [{ cost_nano_usd: 15_000_000 }])
    const push = await eventually(() => pushesOf()[0], { intervalMs: 1 })
    times.push(push.heardAt - sentAt)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]?.toFixed(1)
  t.diagnostic(`event → cutoff: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, worst ${at(1)} ms`)
})
