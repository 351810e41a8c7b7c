import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Transaction } from '@sluice/postgres'
import { sized } from '@sluice/test-env'
import { sql } from 'kysely'
import { listBudgetsUnder } from '../src/budget-store.ts'
import type { BudgetTables } from '../src/db/schema.ts'
import { namingNothing } from '../src/homes/command.ts'
import { sumHoldings } from '../src/homes/holdings-store.ts'
import { loadHome } from '../src/homes/home-store.ts'
import { currentTimeline } from '../src/homes/ownership-store.ts'
import { findDueSweeps } from '../src/homes/sweep-store.ts'
import { fileScope, openBudgetDatabase } from './budget-service.ts'

const { db } = await openBudgetDatabase(fileScope, 1)
const closedLeases = 2_000
const openLeases = sized({ small: 5_000, full: 20_000 })

/** How many rows of a table work reads. What is counted before a transaction may still stand in its numbers. */
async function rowsRead(
  trx: Transaction<BudgetTables>,
  table: keyof BudgetTables,
  work: () => Promise<unknown>,
): Promise<number> {
  const count = async () => {
    const { rows } = await sql<{ read: number }>`select (seq_tup_read + idx_tup_fetch)::int as read
      from pg_stat_xact_user_tables where relname = ${table}`.execute(trx)
    return rows[0]?.read ?? Number.NaN
  }
  const before = await count()
  await work()
  return (await count()) - before
}

const leasesRead = (trx: Transaction<BudgetTables>, work: () => Promise<unknown>) => rowsRead(trx, 'leases', work)

test('looking for what is unresolved reads no lease that is closed, also where PostgreSQL knows nothing of them yet', async () => {
  await sql`alter table leases set (autovacuum_enabled = off)`.execute(db)
  // Leases without their budget, which nobody looks at here.
  await sql`set session_replication_role = replica`.execute(db)
  await sql`insert into leases select i % 8, 'lease_' || i, i, 'bud_1', '', 0, 'gateway', 1, 100, 100, 0,
      case when i = 1 then '{"attempt": {"amount": 7, "since_ms": 1}}' else '{}' end::jsonb, 1, 'closed', '{}', 0, 0
    from generate_series(1, ${closedLeases}::int) as i`.execute(db)

  const homes = [0, 1, 2, 3, 4, 5, 6, 7]
  await db.transaction().execute(async trx => {
    const read = await leasesRead(trx, async () => {
      const due = await findDueSweeps(trx, homes, { silentBeforeMs: 1, sinceMs: 2, nowMs: 3 })
      await sumHoldings(trx, homes)
      assert.deepEqual([...due.silent], [])
    })
    assert.ok(read < 100, `${read} of ${closedLeases} leases read`)
  })
})

test('a request about leases reads its own of the thousands of a home, the tenth on a connection as the first', async () => {
  await sql`insert into leases select 1, 'open_' || i, i, 'bud_1', '', 0, 'gateway', 2, 100, 100, 0, '{}'::jsonb, 1, 'open', '{}', 0, 0
    from generate_series(1, ${openLeases}::int) as i`.execute(db)
  await sql`analyze leases`.execute(db)
  const run = { gatewayId: 'gateway', epoch: 2, fromSeq: 7, belowSeq: 9 }
  for (let request = 1; request <= 10; request++)
    await db.transaction().execute(async trx => {
      const names = { ...namingNothing(), leaseIds: ['open_1'], runs: [run] }
      const read = await leasesRead(trx, () => loadHome(trx, 1, names))
      assert.ok(read < 100, `request ${request}: ${read} of ${openLeases} leases read`)
    })
})

test('a request that names leases by their ids is planned once, and reads those alone', async () => {
  for (let request = 1; request <= 10; request++)
    await db.transaction().execute(async trx => {
      const names = {
        ...namingNothing(),
        leaseIds: ['open_1', 'open_2'],
        said: [{ gatewayId: 'gateway', leaseId: 'open_3' }],
      }
      const read = await leasesRead(trx, async () => {
        const { leases, held } = (await loadHome(trx, 1, names)).state
        // Of a budget that is not there.
        assert.deepEqual([leases.size, [...held.keys()]], [0, ['open_3']])
      })
      assert.ok(read < 20, `request ${request}: ${read} of ${openLeases} leases read`)
    })
  const { rows } = await sql<{ once: boolean }>`select generic_plans >= 5 as once from pg_prepared_statements
    where statement like '%said as materialized%'`.execute(db)
  assert.deepEqual(rows, [{ once: true }])
})

test('of thousands of leases that are listed again none is loaded, and the one of which that is news is', async () => {
  const run = { gatewayId: 'gateway', epoch: 2, fromSeq: 1, belowSeq: openLeases + 1 }
  const ids = Array.from({ length: openLeases }, (_, at) => `open_${at + 1}`)
  const listing = (leaseIds: readonly string[]) => ({
    ...namingNothing(),
    listed: [run],
    said: leaseIds.map(leaseId => ({ gatewayId: 'gateway', leaseId, list: 0 })),
  })
  await db.transaction().execute(async trx => {
    const read = await leasesRead(trx, async () => {
      const { state } = await loadHome(trx, 1, listing([...ids, 'lease_1']))
      assert.deepEqual([state.leases.size, state.held.size], [0, openLeases])
    })
    assert.ok(read <= 2 * (openLeases + closedLeases), `${read} of ${openLeases} leases read`)
    // Not of the budget, which is not there.
    const others = listing(ids.slice(1))
    const isIdle = { gatewayId: 'gateway', leaseId: 'open_1' }
    for (const said of [others.said, [...others.said, isIdle]]) {
      const { held } = (await loadHome(trx, 1, { ...others, said })).state
      assert.equal(held.has('open_1'), false)
    }
  })
})

test('looking for what silent gateways had reads none of the thousands of leases of those that live', async () => {
  await sql`update partition_owners set timeline = ${currentTimeline}`.execute(db)
  await db.transaction().execute(async trx => {
    const read = await leasesRead(trx, async () => {
      const due = await findDueSweeps(trx, [1], { silentBeforeMs: 1, sinceMs: 1, nowMs: 3 })
      assert.deepEqual([...due.silent, ...due.unresolved], [])
    })
    // Those of batches and responses in the background, which have no gateway, are looked for among all of them: once.
    assert.ok(read < openLeases * 1.5, `${read} of ${openLeases} leases read`)
  })
})

test('usage reads the budgets of its own parents, the tenth time on a connection as the first', async () => {
  const others = 2_000
  const projectOf = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`
  await sql`insert into budgets (budget_id, version, name, account_id, project_id, scope, unit, limit_amount, window_kind, time_zone,
      mode, on_unknown, created_at_ms, counts_from_ms)
    select 'of_' || i, 1, 'name', 'acct_' || i, case when i % 2 = 1 then project::uuid end, '{}', 'usd', 1, 'total', 'UTC', 'soft',
      '"deny"', i, i
    from unnest(${Array.from({ length: others }, (_, i) => projectOf(i))}::text[]) with ordinality as each (project, n),
      lateral (select n - 1 as i) as numbered`.execute(db)
  await sql`analyze budgets`.execute(db)
  const parents = [
    { accountId: 'acct_7', projectId: projectOf(7) },
    { accountId: 'acct_7', projectId: undefined },
    { accountId: 'acct_8', projectId: projectOf(8) },
    { accountId: 'acct_8', projectId: undefined },
  ]
  for (let time = 1; time <= 10; time++)
    await db.transaction().execute(async trx => {
      const read = await rowsRead(trx, 'budgets', async () => {
        const found = await listBudgetsUnder(trx, parents)
        assert.deepEqual(
          found.map(budget => budget.budget_id),
          ['of_7', 'of_8'],
        )
      })
      assert.ok(read < 20, `time ${time}: ${read} of ${others} budgets read`)
    })
  const { rows } = await sql<{ once: boolean }>`select generic_plans >= 5 as once from pg_prepared_statements
    where statement like '%budgets_in_force b%union all%'`.execute(db)
  assert.deepEqual(rows, [{ once: true }])
})
