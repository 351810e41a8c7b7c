import { BalanceExhausted, BalanceRestored } from '@sluice/contracts'
import { enqueue, few, type Kysely, prepared, type Transaction, transact } from '@sluice/postgres'
import { type RawBuilder, type Selectable, sql } from 'kysely'
import { type Author, tellTrail } from './audit-trail-store.ts'
import type { Tables } from './db/schema.ts'
import { isExhausted, type LedgerPosting } from './ledger.ts'

/**
 * The next version of a project's state: by the clock, so that it is above all that was told, also where this database has come back from
 * an older copy and has forgotten some of it.
 */
const nextVersion = (known: RawBuilder<unknown>) =>
  sql`greatest(${known} + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)`

/** Projects whose balance postings change. */
export function chargedProjects(postings: readonly LedgerPosting[]): string[] {
  return postings.filter(({ charge }) => charge !== 0n).map(({ projectId }) => projectId)
}

/**
 * Tells of prepaid projects whose money has run out, or is there again, in the transaction that posts: the event stands in the outbox
 * where the balance has changed, once for each crossing. Call it behind what has locked their accounts.
 * @returns how many have crossed
 */
export async function settleBalances(trx: Transaction<Tables>, projectIds: readonly string[]): Promise<number> {
  if (projectIds.length === 0) return 0
  const charged = [...new Set(projectIds)].sort()
  const { rows } = await sql<PrepaidRow>`${prepared}
    with standing as (
      select p.project_id, coalesce(a.balance_nano_usd, 0) as charged
      from (select unnest(${charged}::uuid[]) as project_id ${few(charged)}) as named
      join prepaid_projects p using (project_id)
      left join ledger_accounts a on a.kind = 'project_balance' and a.owner = p.project_id::text)
    update prepaid_projects p set exhausted = p.prepaid and standing.charged >= 0,
      version = ${nextVersion(sql`p.version`)}
    from standing where p.project_id = standing.project_id and p.exhausted <> (p.prepaid and standing.charged >= 0)
    returning p.project_id, p.account_id, p.exhausted, p.version, standing.charged`.execute(trx)
  await enqueueStates(trx, rows)
  return rows.length
}

type PrepaidRow = Pick<
  Selectable<Tables['prepaid_projects']>,
  'project_id' | 'account_id' | 'exhausted' | 'version'
> & { charged: string }

/** Puts the state of projects into the outbox. One that was told before has the same version, and changes nothing. */
async function enqueueStates(trx: Transaction<Tables>, rows: readonly PrepaidRow[]): Promise<void> {
  await enqueue(
    trx,
    rows.map(row => {
      const event = row.exhausted ? BalanceExhausted : BalanceRestored
      return {
        kind: 'event' as const,
        target: event.type,
        key: `${row.project_id}.${row.version}`,
        payload: event.encode({
          project_id: row.project_id,
          account_id: row.account_id,
          version: Number(row.version),
          balance_nano_usd: Number(-BigInt(row.charged)),
          at_ms: Date.now(),
        }),
      }
    }),
  )
}

/** Tells of every project that is or was prepaid again: whoever has lost what was told has it once more. */
export function tellBalancesAgain(db: Kysely<Tables>): Promise<void> {
  return transact(db, async trx => {
    const { rows } = await sql<PrepaidRow>`
      select p.*, coalesce(a.balance_nano_usd, 0) as charged from prepaid_projects p
      left join ledger_accounts a on a.kind = 'project_balance' and a.owner = p.project_id::text
      order by project_id`.execute(trx)
    await enqueueStates(trx, rows)
  })
}

/** Makes a project prepaid, or no longer. One without credit is exhausted at once. */
export function setPrepaid(
  db: Kysely<Tables>,
  project: { projectId: string; accountId: string },
  prepaid: boolean,
  by: Author,
): Promise<void> {
  const { projectId, accountId } = project
  return transact(db, async trx => {
    // The account first, as everybody who posts: nothing is posted between what is read of it and the row.
    const { rows } = await sql<{ charged: string }>`insert into ledger_accounts (kind, owner, balance_nano_usd)
      values ('project_balance', ${projectId}, 0)
      on conflict (kind, owner) do update set balance_nano_usd = ledger_accounts.balance_nano_usd
      returning balance_nano_usd as charged`.execute(trx)
    const exhausted = prepaid && isExhausted(BigInt(rows[0]?.charged ?? 0))
    const before = await trx
      .selectFrom('prepaid_projects')
      .selectAll()
      .where('project_id', '=', projectId)
      .forUpdate()
      .executeTakeFirst()
    if (before?.prepaid === prepaid || (!before && !prepaid)) return
    const { rows: changed } = await sql<PrepaidRow>`
      insert into prepaid_projects (project_id, account_id, prepaid, exhausted, version, changed_by)
      values (${projectId}, ${accountId}, ${prepaid}, ${exhausted}, ${nextVersion(sql`0`)}, ${`${by.kind} ${by.id}`})
      on conflict (project_id) do update set prepaid = excluded.prepaid, exhausted = excluded.exhausted,
        version = ${nextVersion(sql`prepaid_projects.version`)}, changed_by = excluded.changed_by, changed_at = now()
      returning *, ${rows[0]?.charged ?? '0'}::bigint as charged`.execute(trx)
    // A project that has money, and had no word said of it, is told of, too: its version goes on.
    await enqueueStates(trx, changed)
    await tellTrail(trx, {
      atMs: Date.now(),
      author: by,
      projectId,
      action: 'balance.changed',
      target: projectId,
      before: { prepaid: before?.prepaid ?? false },
      after: { prepaid },
    })
  })
}

/** Whether a project is prepaid, and has nothing left. */
export async function findPrepaid(
  db: Kysely<Tables>,
  projectId: string,
): Promise<{ prepaid: boolean; exhausted: boolean }> {
  const row = await db
    .selectFrom('prepaid_projects')
    .select(['prepaid', 'exhausted'])
    .where('project_id', '=', projectId)
    .executeTakeFirst()
  return row ?? { prepaid: false, exhausted: false }
}
