import { decideSilence, evolve, wholeLease } from '@sluice/leases'
import { type Kysely, transact } from '@sluice/postgres'
import { type RawBuilder, sql } from 'kysely'
import type { BudgetTables } from '../db/schema.ts'
import { namingNothing } from './command.ts'
import { longestCallMs } from './decide-batch.ts'
import { loadHome, saveHome } from './home-store.ts'
import { currentTimeline, lockOwnHome, type OwnedHome } from './ownership-store.ts'
import { giveUpHolds } from './write-off-store.ts'

/** What a sweep of a home has changed. */
export interface SweptHome {
  silent: number
  expired: number
  copies: { budgetId: string; copy: string }[]
}

/** A batch is over after a day; until then gateways speak of it each few minutes. */
const forgottenMs = 26 * 60 * 60_000
/** Leases that one transaction changes. */
const mostLeases = 1_000

/** Homes of which a sweep would change something. */
export interface DueSweeps {
  silent: ReadonlySet<number>
  /** Or it has not been locked on this database: only what locks a home notices that leases may be missing from it. */
  unresolved: ReadonlySet<number>
}

/** Leases of a home whose gateway was silent for long, and of holders that nobody has spoken of for long. */
const silentLeases = (home: RawBuilder<number>, silentBeforeMs: number, nowMs: number) => sql<{
  lease_id: string
  gateway_id: string
}>`select lease_id, l.gateway_id from leases l join lease_gateways g using (home, gateway_id)
  where home = ${home} and g.heard_at_ms < ${silentBeforeMs} and l.state = 'open'
  union all
  select lease_id, gateway_id from leases where home = ${home} and state = 'open'
    and (starts_with(gateway_id, 'batch_') or starts_with(gateway_id, 'background_')) and changed_at_ms < ${nowMs - forgottenMs}`

/** What has been unresolved in a home since before `sinceMs`; slots of a gateway that is silent, for as long as a call may run. */
const unresolvedHolds = (home: RawBuilder<number>, sinceMs: number, nowMs: number) => sql<{
  lease_id: string
  attempt_id: string
}>`
  select lease_id, attempt.key as attempt_id from leases, jsonb_each(unresolved) as attempt
  where home = ${home} and unresolved <> '{}' and (attempt.value ->> 'since_ms')::bigint < ${sinceMs}
  union all
  select lease_id, ${wholeLease} from leases
  where home = ${home} and state = 'silent' and not ${wholeLease} = any(given_up) and (changed_at_ms < ${sinceMs}
    or changed_at_ms < ${nowMs - longestCallMs} and exists (
      select from budgets where budgets.budget_id = leases.budget_id and unit = 'concurrent'))`

/** Asked of all homes at once, for there is seldom anything to sweep: nobody waits for a home in which there is not. */
export async function findDueSweeps(
  db: Kysely<BudgetTables>,
  homes: readonly number[],
  { silentBeforeMs, sinceMs, nowMs }: { silentBeforeMs: number; sinceMs: number; nowMs: number },
): Promise<DueSweeps> {
  const home = sql<number>`owned.home`
  const { rows } = await sql<{ home: number; silent: boolean; unresolved: boolean }>`
    select owned.home, exists (${silentLeases(home, silentBeforeMs, nowMs)}) as silent,
      exists (${unresolvedHolds(home, sinceMs, nowMs)}) or timeline is distinct from current as unresolved
    from unnest(${[...homes]}::int[]) as owned(home) join partition_owners using (home),
      (select ${currentTimeline} as current) as database`.execute(db)
  const homesOf = (what: 'silent' | 'unresolved') => new Set(rows.filter(row => row[what]).map(row => row.home))
  return { silent: homesOf('silent'), unresolved: homesOf('unresolved') }
}

/**
 * Turns what gateways hold that were silent for long into unresolved holds: what they did since nobody knows.
 * The same of holders that no gateway has spoken of for long: what they hold money for is forgotten.
 * @param silentBeforeMs heard of last before this time
 */
export function sweepSilent(
  db: Kysely<BudgetTables>,
  owner: string,
  owned: OwnedHome,
  silentBeforeMs: number,
  nowMs: number,
): Promise<SweptHome> {
  return transact(db, async trx => {
    if (!(await lockOwnHome(trx, owner, owned, nowMs))) return { silent: 0, expired: 0, copies: [] }
    const { rows } = await sql<{ lease_id: string; gateway_id: string }>`
      ${silentLeases(sql.val(owned.home), silentBeforeMs, nowMs)}
      limit ${mostLeases}`.execute(trx)
    if (rows.length === 0) return { silent: 0, expired: 0, copies: [] }
    const loaded = await loadHome(trx, owned.home, { ...namingNothing(), leaseIds: rows.map(row => row.lease_id) })
    const { state } = loaded
    for (const gatewayId of new Set(rows.map(row => row.gateway_id)))
      for (const event of decideSilence(state, gatewayId)) evolve(state, event)
    const pools = [...state.pools.values()]
    await saveHome(trx, owned.home, loaded, { leases: [...state.leases.values()], pools }, nowMs)
    return { silent: rows.length, expired: 0, copies: pools.map(({ budgetId, copy }) => ({ budgetId, copy })) }
  })
}

/** Gives up what has been unresolved since before `sinceMs`, each with a line of the audit. */
export function expireUnresolved(
  db: Kysely<BudgetTables>,
  owner: string,
  owned: OwnedHome,
  sinceMs: number,
  nowMs: number,
): Promise<SweptHome> {
  return transact(db, async trx => {
    const nothing = { silent: 0, expired: 0, copies: [] }
    if (!(await lockOwnHome(trx, owner, owned, nowMs))) return nothing
    const { rows } = await sql<{ lease_id: string; attempt_id: string }>`
      ${unresolvedHolds(sql.val(owned.home), sinceMs, nowMs)}
      limit ${mostLeases}`.execute(trx)
    if (rows.length === 0) return nothing
    const loaded = await loadHome(trx, owned.home, { ...namingNothing(), leaseIds: rows.map(row => row.lease_id) })
    const holds = rows.map(row => ({ leaseId: row.lease_id, attemptId: row.attempt_id }))
    const given = await giveUpHolds(trx, owned.home, loaded, holds, {
      actor: { kind: 'service', id: 'budget' },
      action: 'unresolved-expired',
      reason: 'unresolved for too long',
      nowMs,
    })
    const pools = [...loaded.state.pools.values()]
    return { silent: 0, expired: given.length, copies: pools.map(({ budgetId, copy }) => ({ budgetId, copy })) }
  })
}

/** Forgets leases that are closed, or given up whole, of which nothing is unresolved and nothing was heard since. @returns how many; call again while it is `most` */
export async function pruneLeases(db: Kysely<BudgetTables>, beforeMs: number, most: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from leases where ctid = any(array(
    select l.ctid from leases l left join budget_windows w using (budget_id, copy, window_start_ms)
    where (l.state = 'closed' or (l.state = 'silent' and ${wholeLease} = any(l.given_up))) and l.changed_at_ms < ${beforeMs} and l.unresolved = '{}'
      and coalesce(w.window_end_ms, 0) < ${beforeMs} limit ${most}))`.execute(db)
  return Number(numAffectedRows ?? 0n)
}
