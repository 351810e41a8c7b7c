import { setTimeout as delay } from 'node:timers/promises'
import type { TestStack, TestStackOptions } from '@sluice/test-env'
import pg from 'pg'
import type { Outcome } from './scenario.ts'

interface Sums {
  events: number
  cost_nano_usd: string
}

interface Reconciliation {
  equal: boolean
  ledger: Sums
  places: Record<'analytics_rows' | 'analytics_rollups' | 'budget', Sums | null>
  difference_count: number
}

/** For whoever takes a store away: PostgreSQL is the run's own, and a commit is what the disk has, as in production. */
export const storesThatMayDie = {
  ownPostgres: true,
  durable: true,
  env: { ANALYTICS_ROLLUP_MS: '1500' },
} satisfies TestStackOptions

const hourMs = 3_600_000
/** Progress or not: it is not waited for longer than this. */
const longestMs = 20 * 60_000

/** Ledger, ClickHouse's rows, its rollups and budgets, hour by hour, as billing's operator port compares them. */
export async function reconcile(stack: TestStack): Promise<Reconciliation> {
  const { origin } = new URL(stack.services.billing.plan.readyUrl)
  const start = Math.floor(Date.now() / hourMs) * hourMs
  const span = `start=${new Date(start - 2 * hourMs).toISOString()}&end=${new Date(start + hourMs).toISOString()}`
  const answer = await fetch(`${origin}/reconciliation?${span}`)
  if (!answer.ok) throw new Error(`reconciliation: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Reconciliation
}

/**
 * Promises of the stores among themselves, read by other means than the services use: every balance is the sum of its
 * entries, and the four sums of each hour are equal. Waits for what is on its way: until nothing has changed for `quietMs`.
 */
export async function auditStores(stack: TestStack, quietMs = 30_000): Promise<Outcome['kept']> {
  const startedAt = performance.now()
  let changedAt = startedAt
  let sums: Reconciliation | undefined
  for (let before = ''; ; ) {
    sums = await reconcile(stack).catch(() => undefined)
    const now = performance.now()
    const found = JSON.stringify(sums?.places)
    if (found !== before) changedAt = now
    before = found
    if (sums?.equal || now - changedAt > quietMs || now - startedAt > longestMs) break
    await delay(500)
  }
  const [ledger] = await query<{ off: number; total: string; transactions: string; balances: string }>(
    stack.databaseUrls.billing,
    `select
      (select count(*)::int from billing.ledger_accounts a where balance_nano_usd <> (select coalesce(sum(amount_nano_usd), 0)
        from billing.ledger_entries e where e.ledger_account = a.ledger_account)) as off,
      (select coalesce(sum(amount_nano_usd), 0)::text from billing.ledger_entries) as total,
      (select coalesce(sum(cost_nano_usd), 0)::text from billing.ledger_transactions) as transactions,
      (select coalesce(sum(balance_nano_usd), 0)::text from billing.ledger_accounts where kind = 'usage_cost') as balances`,
  )
  const [budget] = await query<{ facts: string }>(
    stack.databaseUrls.budget,
    'select coalesce(sum(nano_usd), 0)::text as facts from budget.spend_facts',
  )
  const same = (promise: string, wanted: string | undefined, found: string | undefined) => ({
    promise,
    kept: wanted !== undefined && wanted === found,
    found: `${found} (ledger ${wanted})`,
  })
  const { events, cost_nano_usd: cost } = sums?.ledger ?? { events: -1, cost_nano_usd: undefined }
  const place = (name: keyof Reconciliation['places'], label: string) => {
    const found = sums?.places[name]
    return same(
      label,
      `${events} events, ${cost}`,
      found ? `${found.events} events, ${found.cost_nano_usd}` : undefined,
    )
  }
  return [
    { promise: 'balances that are not the sum of their entries', kept: ledger?.off === 0, found: String(ledger?.off) },
    { promise: 'sum of all entries, nano-USD', kept: ledger?.total === '0', found: String(ledger?.total) },
    same('balances, nano-USD', ledger?.transactions, ledger?.balances),
    same('what budgets have settled, nano-USD', ledger?.transactions, budget?.facts),
    place('analytics_rows', 'rows of ClickHouse'),
    place('analytics_rollups', 'rollups of ClickHouse'),
    {
      promise: 'projects and hours whose sums differ',
      kept: sums?.equal === true,
      found: sums ? String(sums.difference_count) : 'billing does not answer',
    },
  ]
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}
