import { type BalanceData, Stop } from '@sluice/contracts'
import { enqueue, type Kysely, transact } from '@sluice/postgres'
import { type Selectable, sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'

/** What billing has told of a project's money. */
export interface ToldBalance extends BalanceData {
  exhausted: boolean
}

/**
 * Stops the calls of projects whose prepaid money is gone, and lets those of others go on: the newest version of each, in whatever order
 * and however often they come. @returns how many were new
 */
export function applyBalances(db: Kysely<BudgetTables>, told: readonly ToldBalance[]): Promise<number> {
  const newest = new Map<string, ToldBalance>()
  for (const one of told) if (one.version > (newest.get(one.project_id)?.version ?? 0)) newest.set(one.project_id, one)
  return transact(db, async trx => {
    let changed = 0
    for (const balance of [...newest.values()].sort((a, b) => (a.project_id < b.project_id ? -1 : 1))) {
      const { rows } = await sql<Selectable<BudgetTables['project_balances']>>`
        insert into project_balances (project_id, account_id, version, exhausted, at_ms)
        values (${balance.project_id}, ${balance.account_id}, ${balance.version}, ${balance.exhausted}, ${balance.at_ms})
        on conflict (project_id) do update set version = excluded.version, exhausted = excluded.exhausted,
          account_id = excluded.account_id, at_ms = excluded.at_ms where project_balances.version < excluded.version
        returning *`.execute(trx)
      const [row] = rows
      if (!row) continue
      changed++
      const stop = stopOf(row)
      await enqueue(trx, [
        row.exhausted
          ? { kind: 'kv-put', target: 'stops', key: stop.stop_id, payload: Stop.encode(stop) }
          : { kind: 'kv-delete', target: 'stops', key: stop.stop_id, payload: '' },
      ])
    }
    return changed
  })
}

/** What gateways must see, of all projects. */
export async function listBalanceStops(db: Kysely<BudgetTables>): Promise<ReadonlyMap<string, Stop>> {
  const rows = await db.selectFrom('project_balances').selectAll().where('exhausted', '=', true).execute()
  return new Map(rows.map(stopOf).map(stop => [stop.stop_id, stop]))
}

function stopOf(row: Selectable<BudgetTables['project_balances']>): Stop {
  return {
    stop_id: `balance_${row.project_id}`,
    account_id: row.account_id,
    scope: { project: row.project_id },
    reason: 'The prepaid balance of the project is used up.',
    at_ms: Number(row.at_ms),
    kind: 'balance_exhausted',
  }
}
