import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { Budget, Cutoff } from '@sluice/contracts'
import { eventually } from '@sluice/test-env'
import { sql } from 'kysely'
import { fileScope, openService, startService } from './budget-service.ts'

const env = await openService(fileScope)

/** A budget of a new project, and what it has spent. */
async function newBudget(limit: string) {
  const { projectId, call } = await env.newProject()
  const { id } = await eventually(async () => {
    const answer = await call('POST', `${projectId}/budgets`, { name: 'Spend', unit: 'usd', window: 'month', limit })
    return answer.status === 201 && answer.body
  })
  const spent = async () => {
    const row = await env.db.selectFrom('budget_windows').select('spent').where('budget_id', '=', id).executeTakeFirst()
    return row?.spent
  }
  return { projectId, id, spent }
}

test('database connections that break lose nothing and double nothing', async () => {
  const { projectId, spent } = await newBudget('100')
  for (let round = 0; round < 10; round++) {
    await env.send(projectId, [{ cost_nano_usd: 1 }, { cost_nano_usd: 10 }])
    if (round % 3 === 0)
      await sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`.execute(env.db)
  }
  await eventually(async () => (await spent()) === '110')
})

test('two instances share the events: each counts once, the crossing is pushed once', async t => {
  const twin = await startService(t, env)
  const { projectId, id, spent } = await newBudget('0.000000100')
  for (let round = 0; round < 40; round++) await env.send(projectId, [{ cost_nano_usd: 1 }, { cost_nano_usd: 9 }])
  await eventually(async () => (await spent()) === '400')
  await eventually(() => env.pushes.some(push => push.budget_id === id))
  await twin.stop()
  assert.equal(env.pushes.filter(push => push.budget_id === id).length, 1)
})

test('a database that was restored reads again what it misses, though all of it was acked', async t => {
  const { projectId, spent } = await newBudget('100')
  await env.send(projectId, [{ cost_nano_usd: 100 }])
  await eventually(async () => (await spent()) === '100')
  const tables = ['series_marks', 'series_positions', 'spend_facts', 'budget_windows']
  for (const table of tables)
    await sql`create table ${sql.table(`kept_${table}`)} as table ${sql.table(table)}`.execute(env.db)
  await env.send(projectId, [{ cost_nano_usd: 20 }, { cost_nano_usd: 3 }])
  await eventually(async () => (await spent()) === '123')
  await env.service.stop()
  for (const table of tables) {
    await sql`delete from ${sql.table(table)}`.execute(env.db)
    await sql`insert into ${sql.table(table)} select * from ${sql.table(`kept_${table}`)}`.execute(env.db)
  }
  assert.equal(await spent(), '100')
  const again = await startService(t, env)
  assert.equal(await spent(), '123')
  await again.stop()
})

test('a start makes the buckets equal to the database', async t => {
  const bus = await env.connectAs('budget')
  const budgets = await openBucket(bus, 'budgets', Budget)
  const cutoffs = await openBucket(bus, 'cutoffs', Cutoff)
  const [id] = await budgets.keys()
  assert.ok(id)
  const held = await budgets.get(id)
  assert.ok(held)
  await budgets.put(id, { ...held, limit: 1 })
  await budgets.put('bud_gone', { ...held, budget_id: 'bud_gone' })
  await cutoffs.put('bud_gone', {
    cutoff_id: 'bud_gone',
    version: 1,
    active: true,
    reason: 'budget_spent',
    budget_id: 'bud_gone',
    name: 'Gone',
    copy: '',
    project_id: randomUUID(),
    unit: 'usd',
    limit: 1,
    spent: 1,
    window: 'total',
    window_start_ms: 0,
    at_ms: 0,
  })
  const again = await startService(t, env)
  assert.deepEqual(await budgets.get(id), held)
  assert.equal(await budgets.get('bud_gone'), undefined)
  assert.equal(await cutoffs.get('bud_gone'), undefined)
  await again.stop()
})
