import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test } from 'node:test'
import { UsageRecorded } from '@sluice/contracts'
import { createWindowFinder } from '@sluice/leases'
import { openDatabase } from '@sluice/postgres'
import { eventually, makeUsageEvent, type TestScope } from '@sluice/test-env'
import { sql } from 'kysely'
import { databaseSchema } from '../src/db/migrations/index.ts'
import type { BudgetTables } from '../src/db/schema.ts'
import { applyUsage } from '../src/usage-store.ts'
import { fileScope, openService } from './budget-service.ts'

/** A way to a server that counts how often something is sent to it after it has answered. */
async function countWays(t: TestScope, target: URL): Promise<{ url: string; ways: () => number }> {
  let ways = 0
  const proxy = createServer(client => {
    const server = connect(Number(target.port), target.hostname)
    let isAnswered = true
    client.on('data', bytes => {
      if (isAnswered) ways++
      isAnswered = false
      server.write(bytes)
    })
    server.on('data', bytes => {
      isAnswered = true
      client.write(bytes)
    })
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => void proxy.close())
  const url = new URL(target)
  url.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`
  return { url: url.href, ways: () => ways }
}

test('a cutoff waits for six ways to PostgreSQL: what is written when its event is counted goes with the commit', async t => {
  const env = await openService(fileScope)
  const { projectId, call } = await env.newProject()
  const created = await eventually(async () => {
    const body = { name: 'Spend', unit: 'usd', window: 'month', limit: '0.01' }
    const answer = await call('POST', `${projectId}/budgets`, body)
    return answer.status === 401 ? undefined : answer
  })
  const proxy = await countWays(t, new URL(env.config.databaseUrl))
  const { db, close } = openDatabase<BudgetTables>({ url: proxy.url, schema: databaseSchema, maxConnections: 1 })
  t.after(close)
  const findWindow = createWindowFinder()
  const apply = async (seq: number, costNanoUsd: number) => {
    const event = makeUsageEvent({ seq, identity: { project_id: projectId }, cost_nano_usd: costNanoUsd })
    const range = { gatewayId: event.gateway_id, epoch: 1, partition: event.partition, first: seq, last: seq }
    const body = Buffer.from(UsageRecorded.encode(event))
    const subject = UsageRecorded.subject(event.partition)
    const before = proxy.ways()
    const applied = await applyUsage(
      db,
      [{ kind: 'recorded', streamSeq: seq, subject, range, body }],
      findWindow,
      Date.now(),
    )
    return { ...applied, ways: proxy.ways() - before }
  }
  // The connection is opened.
  await apply(1, 1)
  const below = await apply(2, 1_000)
  // begin, marks, facts and budgets, windows, commit
  assert.deepEqual([below.cutoffs.length, below.ways], [0, 5])
  const crossing = await apply(3, 10_000_000)
  // Before the commit: what has been told of it already, who hears of it.
  assert.deepEqual([crossing.cutoffs.map(({ active }) => active), crossing.ways], [[true], 6])
  const again = await apply(3, 10_000_000)
  assert.deepEqual([again.events, again.cutoffs], [0, []])
  const { body } = await call('GET', `${projectId}/budgets/${created.body.id}`)
  assert.deepEqual(
    [body.spent, body.cutoff.active, body.fired.map(({ threshold }: { threshold: number }) => threshold)],
    ['0.010001001', true, [80, 100]],
  )
  for (let seq = 4; seq <= 12; seq++) await apply(seq, 1)
  const { rows } = await sql`select count(*) filter (where generic_plans = 0)::int as planned_anew,
    count(*) filter (where generic_plans > 0)::int as planned_once from pg_prepared_statements`.execute(db)
  // Marks made, locked and saved; parents, facts and budgets; windows; positions.
  assert.deepEqual(rows, [{ planned_anew: 0, planned_once: 8 }])
})
