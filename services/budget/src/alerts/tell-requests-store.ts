import { type Kysely, type Transaction, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { uuidv7 } from 'uuidv7'
import { formatAmount } from '../amount.ts'
import { type BudgetParent, type CountedBudget, parentOf, spentIn } from '../budget.ts'
import { fromRow as budgetOf } from '../budget-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import type { MoreRequest } from '../more-request.ts'
import { fromRow as requestOf } from '../more-request-store.ts'
import { listWindowsToPublish } from '../window-store.ts'
import { aboutBudget, newAlertId, putAlerts, putDeliveries } from './fire-alerts-store.ts'

/** So many alerts an hour tell of requests for more of a budget as they come; what comes then is gathered for {@link gatherMs}. */
const mostAnHour = 10
const hourMs = 60 * 60_000
const gatherMs = 10 * 60_000
/** In one transaction; what is left is told right after. */
const mostAtOnce = 100

export interface TellingContext {
  /** Whoever has asked gets a mail, too. */
  sendsMail: boolean
  /** Undefined: links are paths alone. */
  publicOrigin: string | undefined
  nowMs: number
}

/**
 * Tells whom a budget's alerts go to that more of it was asked for, and what became of that; the latter whoever has asked, too. Each
 * once, however many instances look: what one has taken the others leave.
 * @returns how many alerts; call again while it is more than none
 */
export async function tellRequests(db: Kysely<BudgetTables>, context: TellingContext): Promise<number> {
  // Asked all the time and nearly always in vain: what follows is a transaction, and a question that takes long to plan.
  const waiting = await sql`select from more_requests
    where told_at_ms is null or (decided_at_ms is not null and decision_told_at_ms is null) limit 1`.execute(db)
  if (waiting.rows.length === 0) return 0
  const { rows: due } = await sql<{ budget_id: string }>`
    select waiting.budget_id from (
      select budget_id, min(request_id) as first from more_requests where told_at_ms is null group by budget_id) waiting
    left join lateral (select count(*) as count, max(at_ms) as last from alerts
      where alerts.budget_id = waiting.budget_id and kind = 'request' and at_ms > ${context.nowMs - hourMs}) told on true
    where told.count < ${mostAnHour} or told.last <= ${context.nowMs - gatherMs}
    order by waiting.first limit ${mostAtOnce}`.execute(db)
  let told = 0
  for (const { budget_id: budgetId } of due) told += await transact(db, trx => tellMade(trx, budgetId, context))
  return told + (await transact(db, trx => tellDecided(trx, context)))
}

/** Those of one budget that nobody was told of, in one alert. */
async function tellMade(trx: Transaction<BudgetTables>, budgetId: string, context: TellingContext): Promise<number> {
  const requests = await lockUntold(trx, sql`m.told_at_ms is null and m.budget_id = ${budgetId}`)
  await markTold(trx, 'told_at_ms', requests, context.nowMs)
  // Whoever was faster has decided before anybody was told.
  const open = requests.filter(({ decided }) => decided === undefined)
  const budget = await findToldBudget(trx, budgetId)
  if (!budget || open.length === 0) return 0
  const copies = [...new Set(open.map(({ copy }) => copy))].map(copy => ({ budgetId, copy }))
  const windows = await listWindowsToPublish(trx, context.nowMs, copies)
  const spentOf = (copy: string) => {
    const window = windows.find(({ sum }) => sum.copy === copy)
    return formatAmount(budget.unit, window ? spentIn(window.sum) : 0n)
  }
  const parent = parentOf(budget)
  await putAlerts(
    trx,
    [
      {
        alertId: newAlertId(),
        parent,
        budgetId,
        kind: 'request',
        document: {
          ...aboutBudget(budget),
          requests: open.map(request => {
            const at = `${context.publicOrigin ?? ''}${pathOf(parent)}/${request.requestId}`
            return {
              ...aboutRequest(request),
              spent: spentOf(request.copy),
              approve: `${at}/approve`,
              decline: `${at}/decline`,
            }
          }),
        },
      },
    ],
    context.nowMs,
  )
  return 1
}

/** What became of requests, an alert each. */
async function tellDecided(trx: Transaction<BudgetTables>, context: TellingContext): Promise<number> {
  const requests = await lockUntold(trx, sql`m.decided_at_ms is not null and m.decision_told_at_ms is null`)
  await markTold(trx, 'decision_told_at_ms', requests, context.nowMs)
  for (const request of requests) {
    const budget = await findToldBudget(trx, request.budgetId)
    if (!budget || !request.decided) continue
    const { by, atMs, word, granted } = request.decided
    const alertId = newAlertId()
    const document = {
      ...aboutBudget(budget),
      request: aboutRequest(request),
      state: granted ? 'approved' : 'declined',
      granted: granted ? formatAmount(budget.unit, granted.amount) : null,
      until: granted ? toIso(granted.untilMs) : null,
      word: word ?? null,
      decided_by: `${by.kind} ${by.id}`,
      decided_at: toIso(atMs),
    }
    const parent = parentOf(budget)
    await putAlerts(trx, [{ alertId, parent, budgetId: budget.budget_id, kind: 'decision', document }], context.nowMs)
    if (request.memberId === undefined || !context.sendsMail) continue
    const destinationId = await memberDestination(trx, parent, request.memberId, context.nowMs)
    await putDeliveries(trx, [{ alertId, destinationId }], context.nowMs)
  }
  return requests.length
}

async function lockUntold(trx: Transaction<BudgetTables>, condition: ReturnType<typeof sql>): Promise<MoreRequest[]> {
  const { rows } = await sql<Parameters<typeof requestOf>[0]>`
    select m.*, b.name, b.unit from more_requests m join budgets b using (budget_id) where ${condition}
    order by m.request_id limit ${mostAtOnce} for update of m skip locked`.execute(trx)
  return rows.map(requestOf)
}

async function markTold(
  trx: Transaction<BudgetTables>,
  column: 'told_at_ms' | 'decision_told_at_ms',
  requests: readonly MoreRequest[],
  nowMs: number,
): Promise<void> {
  if (requests.length === 0) return
  await trx
    .updateTable('more_requests')
    .set({ [column]: nowMs })
    .where(
      'request_id',
      'in',
      requests.map(({ requestId }) => requestId),
    )
    .execute()
}

/** One that was deleted, too: what became of a request for it is told all the same. */
async function findToldBudget(trx: Transaction<BudgetTables>, budgetId: string): Promise<CountedBudget | undefined> {
  const row = await trx.selectFrom('budgets_in_force').selectAll().where('budget_id', '=', budgetId).executeTakeFirst()
  return row && budgetOf(row)
}

/** The mailbox of whoever has asked: accounts knows the address when a mail is sent. It is in no list of destinations. */
async function memberDestination(
  trx: Transaction<BudgetTables>,
  { accountId, projectId }: BudgetParent,
  memberId: string,
  nowMs: number,
): Promise<string> {
  const { rows } = await sql<{ destination_id: string }>`
    insert into alert_destinations (destination_id, account_id, project_id, kind, member_id, name, enabled, created_at_ms)
    values (${`ald_${uuidv7()}`}, ${accountId}, ${projectId ?? null}, 'member', ${memberId}, 'Whoever has asked', true, ${nowMs})
    on conflict (account_id, coalesce(project_id::text, ''), member_id) where kind = 'member'
    do update set member_id = excluded.member_id returning destination_id`.execute(trx)
  return rows[0]?.destination_id ?? ''
}

function aboutRequest({ requestId, projectId, unit, copy, by, memberId, ...request }: MoreRequest) {
  return {
    id: requestId,
    project_id: projectId,
    copy: copy === '' ? null : copy,
    amount: formatAmount(unit, request.amount),
    reason: request.reason,
    requested_by: `${by.kind} ${by.id}`,
    key_name: request.keyName ?? null,
    participant: request.participant ?? null,
    room: request.room ?? null,
    member_id: memberId ?? null,
    created_at: toIso(request.createdAtMs),
  }
}

function pathOf({ projectId }: BudgetParent): string {
  return projectId === undefined ? '/accounts/budgets/requests' : `/accounts/projects/${projectId}/budgets/requests`
}

function toIso(ms: number): string {
  return new Date(ms).toISOString()
}
