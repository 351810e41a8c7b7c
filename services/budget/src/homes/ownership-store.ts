import { HOMES } from '@sluice/contracts'
import { type Kysely, prepared, type Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from '../db/schema.ts'

/** A home that an instance owns; the term grows with each change of owner. */
export interface OwnedHome {
  home: number
  term: number
}

/** A home lasts so long without being renewed, on the database's clock. */
const ownedFor = sql`interval '3 seconds'`
/** What has more than this left need not be written yet: it is looked at again while it has more than half of its time. */
const renewedBelow = sql`interval '2.25 seconds'`
/** One that has less than this left was locked each time it should have been renewed. */
const runsOutWithin = sql`interval '1.5 seconds'`

/**
 * Says that an instance lives, renews its homes, gives up what is more than its even share, and takes what nobody owns.
 * @param owned what it believes to own
 * @returns what it owns now
 */
export async function renewHomes(
  db: Kysely<BudgetTables>,
  owner: string,
  owned: readonly OwnedHome[],
): Promise<{ owned: OwnedHome[]; given: OwnedHome[] }> {
  const { share, renewed } = await renew(db, owner, owned)
  const taken = share > renewed.length ? await takeFree(db, owner, share - renewed.length) : []
  return { owned: [...renewed, ...taken].sort((a, b) => a.home - b.home), given: owned.slice(share) }
}

/** One statement locks rows in the order of homes, as all others do. */
async function takeFree(db: Kysely<BudgetTables>, owner: string, most: number): Promise<OwnedHome[]> {
  const { rows } = await sql<{ home: number; term: string }>`
    with free as (select home from partition_owners where expires_at <= clock_timestamp()
      order by home limit ${most} for update skip locked)
    update partition_owners p set owner = ${owner}, term = term + 1, expires_at = clock_timestamp() + ${ownedFor}
    from free where p.home = free.home returning p.home, p.term`.execute(db)
  return rows.map(fromRow)
}

/**
 * Twice a second, also where nothing happens: in one statement, which writes every other time. It waits for no transaction: a home that is locked is worked for,
 * nobody can take it meanwhile, and it renews itself ({@link lockOwnHome}).
 * @returns the even share, and what is still owned of it
 */
async function renew(
  db: Kysely<BudgetTables>,
  owner: string,
  homes: readonly OwnedHome[],
): Promise<{ share: number; renewed: OwnedHome[] }> {
  const { rows } = await sql<{ share: number; home: number | null; term: string | null }>`${prepared}
    with lives as (insert into budget_instances values (${owner}, clock_timestamp() + ${ownedFor})
        on conflict (owner) do update set expires_at = excluded.expires_at
        where budget_instances.expires_at < clock_timestamp() + ${renewedBelow}),
      gone as (delete from budget_instances
        where owner <> ${owner} and expires_at < clock_timestamp() - interval '1 minute'),
      even as (select ceil(${HOMES}::numeric / (1 + count(*)))::int as share
        from budget_instances where owner <> ${owner} and expires_at > clock_timestamp()),
      mine as (select p.home, p.term from partition_owners p
        join unnest(${homes.map(({ home }) => home)}::int[], ${homes.map(({ term }) => term)}::bigint[])
          with ordinality as named(home, term, place) using (home, term), even
        where p.owner = ${owner} and place <= even.share),
      idle as (select p.home from partition_owners p join mine using (home, term)
        where p.owner = ${owner} and p.expires_at < clock_timestamp() + ${renewedBelow}
        order by p.home for update of p skip locked),
      renewed as (update partition_owners p set expires_at = clock_timestamp() + ${ownedFor}
        from idle where p.home = idle.home)
    select share, home, term from even left join mine on true`.execute(db)
  const renewed = rows.flatMap(({ home, term }) => (home === null || term === null ? [] : [fromRow({ home, term })]))
  return { share: rows[0]?.share ?? HOMES, renewed }
}

/** Gives homes up, for whoever comes first. Nothing of them may be under way. */
export async function giveUpHomes(db: Kysely<BudgetTables>, owner: string, homes: readonly OwnedHome[]): Promise<void> {
  if (homes.length === 0) return
  await sql`update partition_owners set expires_at = '-infinity'
    where owner = ${owner} and home = any(${homes.map(({ home }) => home)}::int[])`.execute(db)
}

/** The instance ends: its homes are shared out among the others. */
export async function forgetInstance(db: Kysely<BudgetTables>, owner: string): Promise<void> {
  await sql`delete from budget_instances where owner = ${owner}`.execute(db)
}

/** A home whose row is locked. */
export interface LockedHome {
  /** Since when gateways are waited for, to say which leases they have. */
  recoveringSinceMs: number | undefined
}

/** Which database this is, and how often one like it was promoted. */
export const currentTimeline = sql<string>`(select system_identifier from pg_control_system()) || ' ' ||
  left(pg_walfile_name(pg_current_wal_lsn()), 8)`

/**
 * Locks the row of a home to the end of the transaction. Undefined: it is another's, or given up. One that has run out and that nobody
 * has taken is still its owner's: nobody takes what is locked. Where the database is another one than that which had its leases last
 * (a replica that was promoted, a backup), grants may be missing from it: the home recovers from then on.
 */
export async function lockOwnHome(
  trx: Transaction<BudgetTables>,
  owner: string,
  { home, term }: OwnedHome,
  nowMs: number,
): Promise<LockedHome | undefined> {
  const { rows } = await sql<{
    timeline: string | null
    current: string
    recovering_since_ms: string | null
    runs_out: boolean
  }>`${prepared}
    select timeline, recovering_since_ms, ${currentTimeline} as current,
      expires_at < clock_timestamp() + ${runsOutWithin} as runs_out
    from partition_owners
    where home = ${home} and owner = ${owner} and term = ${term} and expires_at > '-infinity' for update`.execute(trx)
  const [row] = rows
  if (!row) return undefined
  if (row.runs_out)
    await sql`update partition_owners set expires_at = clock_timestamp() + ${ownedFor} where home = ${home}`.execute(
      trx,
    )
  const sinceMs = row.recovering_since_ms === null ? undefined : Number(row.recovering_since_ms)
  if (row.timeline === row.current) return { recoveringSinceMs: sinceMs }
  const recoveringSinceMs = row.timeline === null ? undefined : nowMs
  await sql`update partition_owners set timeline = ${row.current}, recovering_since_ms = ${recoveringSinceMs ?? null}
    where home = ${home}`.execute(trx)
  return { recoveringSinceMs }
}

/** Every gateway has said what it has: the home grants again. */
export async function endRecovery(trx: Transaction<BudgetTables>, home: number): Promise<void> {
  await sql`update partition_owners set recovering_since_ms = null where home = ${home}`.execute(trx)
}

/** Locks homes whoever owns them: their leases wait to the end of the transaction. */
export async function lockHomes(trx: Transaction<BudgetTables>, homes: readonly number[]): Promise<OwnedHome[]> {
  if (homes.length === 0) return []
  const { rows } = await sql<{ home: number; term: string }>`select home, term from partition_owners
    where home = any(${[...homes]}::int[]) order by home for update`.execute(trx)
  return rows.map(fromRow)
}

function fromRow(row: { home: number; term: string }): OwnedHome {
  return { home: row.home, term: Number(row.term) }
}
