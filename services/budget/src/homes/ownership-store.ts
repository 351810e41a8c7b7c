import { HOMES } from '@sluice/contracts'
import { type Kysely, type Transaction, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from '../db/schema.ts'

/** A home that an instance owns; the term grows with each change of owner. */
export interface OwnedHome {
  home: number
  term: number
}

/** A home lasts so long without being renewed, on the database's clock. */
const ownedFor = sql`interval '3 seconds'`

/**
 * Says that an instance lives, renews its homes, gives up what is more than its even share, and takes what nobody owns.
 * @param owned what it believes to own
 * @returns what it owns now
 */
export function renewHomes(
  db: Kysely<BudgetTables>,
  owner: string,
  owned: readonly OwnedHome[],
): Promise<{ owned: OwnedHome[]; given: OwnedHome[] }> {
  return transact(db, async trx => {
    await sql`insert into budget_instances values (${owner}, clock_timestamp() + ${ownedFor})
      on conflict (owner) do update set expires_at = excluded.expires_at`.execute(trx)
    await sql`delete from budget_instances where expires_at < clock_timestamp() - interval '1 minute'`.execute(trx)
    const { rows: live } = await sql<{ count: number }>`
      select count(*)::int as count from budget_instances where expires_at > clock_timestamp()`.execute(trx)
    const share = Math.ceil(HOMES / Math.max(1, live[0]?.count ?? 1))
    const kept = owned.slice(0, share)
    const given = owned.slice(share)
    const renewed = await renew(trx, owner, kept)
    // One statement locks rows in the order of homes, as all others do.
    const { rows: taken } = await sql<{ home: number; term: string }>`
      with free as (select home from partition_owners where expires_at <= clock_timestamp()
        order by home limit ${share - renewed.length} for update skip locked)
      update partition_owners p set owner = ${owner}, term = term + 1, expires_at = clock_timestamp() + ${ownedFor}
      from free where p.home = free.home returning p.home, p.term`.execute(trx)
    return { owned: [...renewed, ...taken.map(fromRow)].sort((a, b) => a.home - b.home), given }
  })
}

async function renew(trx: Transaction<BudgetTables>, owner: string, homes: readonly OwnedHome[]): Promise<OwnedHome[]> {
  if (homes.length === 0) return []
  const { rows } = await sql<{ home: number; term: string }>`
    with mine as (select p.home from partition_owners p
      join unnest(${homes.map(({ home }) => home)}::int[], ${homes.map(({ term }) => term)}::bigint[]) as named(home, term)
        using (home, term)
      where p.owner = ${owner} order by p.home for update of p)
    update partition_owners p set expires_at = clock_timestamp() + ${ownedFor}
    from mine where p.home = mine.home returning p.home, p.term`.execute(trx)
  return rows.map(fromRow)
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

/** Locks the row of a home to the end of the transaction. False: it is another's, or was not renewed in time. */
export async function lockOwnHome(
  trx: Transaction<BudgetTables>,
  owner: string,
  { home, term }: OwnedHome,
): Promise<boolean> {
  const { rows } = await sql`select from partition_owners
    where home = ${home} and owner = ${owner} and term = ${term} and expires_at > clock_timestamp() for update`.execute(
    trx,
  )
  return rows.length > 0
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
