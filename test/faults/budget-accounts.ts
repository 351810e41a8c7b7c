import type { TestStack } from '@sluice/test-env'
import pg from 'pg'
import { readLedger } from './accounts-of-a-run.ts'

/** What a budget's own tables say of its only window; nano-USD. */
export interface BudgetState {
  limit: number
  /** In leases and without. */
  settled: number
  unresolved: number
  outstanding: number
  /** Of `outstanding`, what is in leases of runs that have ended. */
  ofTheDead: number
}

async function query<Row extends object>(stack: TestStack, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: stack.databaseUrls.budget })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** Reads it with what its leases say one by one, which must come to the same. */
export async function readBudget(stack: TestStack, budgetId: string): Promise<BudgetState> {
  const [row] = await query<Record<keyof BudgetState | 'in_leases', string>>(
    stack,
    `with rests as (
        select greatest(0, granted - settled - returned
            - (select coalesce(sum((value ->> 'amount')::bigint), 0) from jsonb_each(unresolved))) as rest,
          l.epoch < g.epoch or g.heard_at_ms < extract(epoch from now()) * 1000 - 10000 as is_dead
        from budget.leases l left join budget.lease_gateways g using (home, gateway_id)
        where budget_id = $1 and state = 'open')
      select b.limit_in_force as "limit", coalesce(sum(w.spent + w.leased_settled), 0) as settled,
        coalesce(sum(w.unresolved), 0) as unresolved, coalesce(sum(w.outstanding), 0) as outstanding,
        (select coalesce(sum(rest), 0) from rests) as in_leases,
        (select coalesce(sum(rest), 0) from rests where is_dead) as "ofTheDead"
      from budget.budgets_in_force b left join budget.budget_windows w using (budget_id)
      where budget_id = $1 group by b.limit_in_force`,
    [budgetId],
  )
  if (!row) throw new Error(`budget ${budgetId} is not there`)
  if (row.outstanding !== row.in_leases)
    throw new Error(`budget ${budgetId} says ${row.outstanding} are outstanding, its leases say ${row.in_leases}`)
  return {
    limit: Number(row.limit),
    settled: Number(row.settled),
    unresolved: Number(row.unresolved),
    outstanding: Number(row.outstanding),
    ofTheDead: Number(row.ofTheDead),
  }
}

/** By copy; nano-USD. */
export type Copies = Map<string, { settled: number; unresolved: number }>

/** What each copy of a budget has settled and has in doubt, in all of its windows. */
export async function readCopies(stack: TestStack, budgetId: string): Promise<Copies> {
  const reader = await openCopies(stack, budgetId)
  try {
    return await reader.read()
  } finally {
    await reader.close()
  }
}

/** The same, again and again, over one connection: one for each time costs PostgreSQL more than what is read. */
export async function openCopies(
  stack: TestStack,
  budgetId: string,
): Promise<{ read: () => Promise<Copies>; close: () => Promise<void> }> {
  const client = new pg.Client({ connectionString: stack.databaseUrls.budget })
  await client.connect()
  return {
    async read() {
      const { rows } = await client.query<{ copy: string; settled: string; unresolved: string }>(
        `select copy, sum(spent + leased_settled) as settled, sum(unresolved) as unresolved
          from budget.budget_windows where budget_id = $1 group by copy`,
        [budgetId],
      )
      return new Map(
        rows.map(row => [row.copy, { settled: Number(row.settled), unresolved: Number(row.unresolved) }] as const),
      )
    },
    close: () => client.end(),
  }
}

/** Every lease of a budget that is not closed, and what its homes know of gateways: for the raw logs. */
export function readLeases(stack: TestStack, budgetId: string): Promise<object[]> {
  return query(
    stack,
    `select l.*, g.epoch as known_epoch, g.heard_at_ms, extract(epoch from now()) * 1000 as read_at_ms
      from budget.leases l left join budget.lease_gateways g using (home, gateway_id)
      where budget_id = $1 and state <> 'closed' order by gateway_id, epoch, ask_seq`,
    [budgetId],
  )
}

/** Whether every home has an owner, and as many instances as run have their even share. */
export async function areHomesShared(stack: TestStack, instances: number): Promise<boolean> {
  const rows = await query<{ homes: number }>(
    stack,
    `select count(*)::int as homes from budget.partition_owners
      where expires_at > clock_timestamp() group by owner`,
  )
  const shares = rows.map(({ homes }) => homes)
  return shares.length === instances && Math.max(...shares) - Math.min(...shares) <= 1
}

/** What of a budget can still be spent once what is idle is called back. */
export function usableOf({ limit, settled, unresolved }: BudgetState): number {
  return limit - settled - unresolved
}

/** What billing has of a project: its log, event by event, and its ledger. */
export async function readBooks(stack: TestStack, projectId: string): Promise<{ log: number; ledger: number }> {
  const { events, total } = await readLedger(stack, projectId)
  return { log: events.reduce((sum, event) => sum + event.costNanoUsd, 0), ledger: Number(total.costNanoUsd) }
}

interface BillPage {
  records: { bill_id: string; ended: string; http_status: number | null; cost_nano_usd: number }[]
  next_since: number
}

/** Where the provider's bill ends now. */
export async function endOfBill(stack: TestStack): Promise<number> {
  return (await readPage(stack, 0)).next_since
}

/** What the provider charges for each call since then, by its own id. Undefined: it still works on something. */
export async function billOf(stack: TestStack, since: number): Promise<Map<string, number> | undefined> {
  const { records } = await readPage(stack, since)
  if (records.some(({ ended }) => ended === 'running')) return undefined
  return new Map(records.map(record => [record.bill_id, record.cost_nano_usd] as const))
}

/** What the provider charges since then. Undefined: it still works on something. */
export async function billedSince(stack: TestStack, since: number): Promise<number | undefined> {
  const { records } = await readPage(stack, since)
  if (records.some(({ ended }) => ended === 'running')) return undefined
  return records.reduce((sum, record) => sum + record.cost_nano_usd, 0)
}

async function readPage(stack: TestStack, since: number): Promise<BillPage> {
  return (await (await fetch(`${stack.simulatorUrl}/simulator/bill?since=${since}`)).json()) as BillPage
}
