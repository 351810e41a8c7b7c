import { type Kysely, prepared, type Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import type { LedgerPosting, UsageHour } from './ledger.ts'

/** What a project has used and been charged. */
export interface ProjectBalance {
  /** Σ cost of everything posted. */
  costNanoUsd: bigint
  /** Σ charges less Σ credits. */
  chargedNanoUsd: bigint
}

export interface LedgerTransaction {
  transactionId: string
  kind: 'usage' | 'adjustment' | 'credit'
  /** The transaction that this one corrects; undefined: usage as it was recorded. */
  adjusts: string | undefined
  eventCount: number
  costNanoUsd: bigint
  chargeNanoUsd: bigint
  postedAt: Date
}

export interface LedgerStore {
  findBalance(projectId: string): Promise<ProjectBalance>
  /** Newest first. */
  listTransactions(query: {
    projectId: string
    accountId: string
    before: bigint | undefined
    limit: number
  }): Promise<LedgerTransaction[]>
}

export function ledgerStore(db: Kysely<Tables>): LedgerStore {
  return {
    async findBalance(projectId) {
      const rows = await db
        .selectFrom('ledger_accounts')
        .select(['kind', 'balance_nano_usd'])
        .where('owner', '=', projectId)
        .where('kind', 'in', ['usage_cost', 'project_balance'])
        .execute()
      const of = (kind: string): bigint => BigInt(rows.find(row => row.kind === kind)?.balance_nano_usd ?? 0)
      return { costNanoUsd: of('usage_cost'), chargedNanoUsd: of('project_balance') }
    },
    async listTransactions({ projectId, accountId, before, limit }) {
      let query = db
        .selectFrom('ledger_transactions')
        .select(['transaction_id', 'kind', 'adjusts', 'event_count', 'cost_nano_usd', 'charge_nano_usd', 'posted_at'])
        .where('project_id', '=', projectId)
        .where('account_id', '=', accountId)
        .orderBy('transaction_id', 'desc')
        .limit(limit)
      if (before !== undefined) query = query.where('transaction_id', '<', String(before))
      return (await query.execute()).map(row => ({
        transactionId: row.transaction_id,
        kind: row.kind,
        adjusts: row.adjusts ?? undefined,
        eventCount: row.event_count,
        costNanoUsd: BigInt(row.cost_nano_usd),
        chargeNanoUsd: BigInt(row.charge_nano_usd),
        postedAt: row.posted_at,
      }))
    },
  }
}

/**
 * Posts in the caller's transaction. Accounts are touched in one order, so that two writers never wait in a circle.
 * @returns the ids of the transactions, in the order of the postings
 */
export async function insertPostings(
  trx: Transaction<Tables>,
  postings: readonly (LedgerPosting & { batchId: string; reference: string; adjusts?: string })[],
): Promise<string[]> {
  if (postings.length === 0) return []
  const totals = new Map<string, { kind: string; owner: string; amount: bigint }>()
  for (const entry of postings.flatMap(posting => posting.entries)) {
    const key = `${entry.kind} ${entry.owner}`
    const total = totals.get(key) ?? { kind: entry.kind, owner: entry.owner, amount: 0n }
    total.amount += entry.amount
    totals.set(key, total)
  }
  const sorted = [...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, total]) => total)
  const accounts = await sql<{ ledger_account: string; kind: string; owner: string }>`${prepared}
    insert into ledger_accounts (kind, owner, balance_nano_usd)
    select * from unnest(${sorted.map(one => one.kind)}::text[], ${sorted.map(one => one.owner)}::text[], ${sorted.map(one => String(one.amount))}::bigint[])
    on conflict (kind, owner) do update set balance_nano_usd = ledger_accounts.balance_nano_usd + excluded.balance_nano_usd
    returning ledger_account, kind, owner`.execute(trx)
  const accountIds = new Map(accounts.rows.map(row => [`${row.kind} ${row.owner}`, row.ledger_account]))

  const transactions = await sql<{
    transaction_id: string
    batch_id: string
    project_id: string
    account_id: string
  }>`${prepared}
    insert into ledger_transactions (batch_id, project_id, account_id, kind, event_count, cost_nano_usd, charge_nano_usd, reference, adjusts)
    select batch_id, project_id, account_id, case when adjusts is null then 'usage' else 'adjustment' end,
      event_count, cost, charge, reference, adjusts from unnest(
      ${postings.map(one => one.batchId)}::bigint[], ${postings.map(one => one.projectId)}::uuid[],
      ${postings.map(one => one.accountId)}::text[], ${postings.map(one => one.eventCount)}::int[],
      ${postings.map(one => String(one.cost))}::bigint[], ${postings.map(one => String(one.charge))}::bigint[],
      ${postings.map(one => one.reference)}::text[], ${postings.map(one => one.adjusts ?? null)}::bigint[]
    ) as posting (batch_id, project_id, account_id, event_count, cost, charge, reference, adjusts)
    returning transaction_id, batch_id, project_id, account_id`.execute(trx)
  const transactionIds = new Map(
    transactions.rows.map(row => [`${row.batch_id} ${row.project_id} ${row.account_id}`, row.transaction_id]),
  )

  const idOf = (posting: (typeof postings)[number]) =>
    transactionIds.get(`${posting.batchId} ${posting.projectId} ${posting.accountId}`) ?? ''
  const entries = postings.flatMap(posting =>
    posting.entries.map(entry => ({
      transaction: idOf(posting),
      account: accountIds.get(`${entry.kind} ${entry.owner}`) ?? '',
      amount: String(entry.amount),
    })),
  )
  if (entries.length > 0)
    await sql`${prepared}insert into ledger_entries (transaction_id, ledger_account, amount_nano_usd)
    select * from unnest(${entries.map(one => one.transaction)}::bigint[], ${entries.map(one => one.account)}::bigint[], ${entries.map(one => one.amount)}::bigint[])`.execute(
      trx,
    )
  return postings.map(idOf)
}

/** Adds to the sums by hour, in the transaction that posts them. `hours` come in one order. */
export async function addToHours(trx: Transaction<Tables>, hours: readonly UsageHour[]): Promise<void> {
  if (hours.length === 0) return
  await sql`${prepared}insert into usage_hours (hour, project_id, events, cost_nano_usd, seat_cost_nano_usd)
    select * from unnest(${hours.map(one => new Date(one.hourMs).toISOString())}::timestamptz[],
      ${hours.map(one => one.projectId)}::uuid[], ${hours.map(one => one.events)}::bigint[],
      ${hours.map(one => String(one.cost))}::bigint[], ${hours.map(one => String(one.seatCost))}::bigint[])
    on conflict (hour, project_id) do update set events = usage_hours.events + excluded.events,
      cost_nano_usd = usage_hours.cost_nano_usd + excluded.cost_nano_usd,
      seat_cost_nano_usd = usage_hours.seat_cost_nano_usd + excluded.seat_cost_nano_usd`.execute(trx)
}
