import { type Kysely, storableText, type Transaction } from '@sluice/postgres'
import { type Selectable, sql } from 'kysely'
import { type Actor, insertAuditEntry } from '../audit-store.ts'
import type { BudgetParent, WindowSum } from '../budget.ts'
import { changeUnder } from '../change-under-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import { alertNotFound, deliveryNotFound, deliveryWaits, destinationNotFound } from '../errors.ts'
import type { Alert } from './alert-event.ts'
import { requireFewByHand } from './sent-by-hand.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

export type DeliveryState = 'waiting' | 'delivered' | 'given_up' | 'cancelled'

/** An alert on its way to one destination. */
export interface AlertDelivery {
  deliveryId: string
  alertId: string
  destinationId: string
  destinationName: string
  destinationKind: string
  state: DeliveryState
  attempts: number
  nextAtMs: number
  lastStatus: number | undefined
  /** In words; never what the receiver has written. */
  lastError: string | undefined
  endedAtMs: number | undefined
}

/** An alert with what has become of it. */
export interface ToldAlert extends Alert {
  deliveries: AlertDelivery[]
}

/** Alerts of a parent before an id, the newest first. */
export async function listAlerts(
  db: Reader,
  { accountId, projectId }: BudgetParent,
  page: { budgetId?: string | undefined; alertId?: string; before?: string | undefined; limit: number },
): Promise<ToldAlert[]> {
  const { budgetId, alertId, before, limit } = page
  // What PostgreSQL cannot hold it cannot be asked for either.
  for (const text of [budgetId, alertId, before]) if (text !== undefined && text !== storableText(text)) return []
  let query = db.selectFrom('alerts').selectAll().orderBy('alert_id', 'desc').limit(limit)
  query =
    projectId === undefined
      ? query.where('account_id', '=', accountId).where('project_id', 'is', null)
      : query.where('project_id', '=', projectId)
  if (budgetId !== undefined) query = query.where('budget_id', '=', budgetId)
  if (alertId !== undefined) query = query.where('alert_id', '=', alertId)
  if (before !== undefined) query = query.where('alert_id', '<', before)
  const rows = await query.execute()
  const deliveries = await listDeliveries(
    db,
    rows.map(row => row.alert_id),
  )
  return rows.map(row => ({
    alertId: row.alert_id,
    kind: row.kind,
    budgetId: row.budget_id ?? undefined,
    atMs: Number(row.at_ms),
    document: row.document,
    deliveries: deliveries.filter(({ alertId }) => alertId === row.alert_id),
  }))
}

/** @throws AppError 404 */
export async function findAlert(db: Reader, parent: BudgetParent, alertId: string): Promise<ToldAlert> {
  const [alert] = await listAlerts(db, parent, { alertId, limit: 1 })
  if (!alert) throw alertNotFound()
  return alert
}

/** Sends an alert once more to a destination that has it, or was given up. @throws AppError 404; 409 while it waits, and where much was sent by hand */
export function sendAgain(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  { alertId, deliveryId }: { alertId: string; deliveryId: string },
  actor: Actor,
  nowMs: number,
): Promise<ToldAlert> {
  return changeUnder(db, parent, async trx => {
    const { deliveries } = await findAlert(trx, parent, alertId)
    const delivery = deliveries.find(one => one.deliveryId === deliveryId)
    if (!delivery) throw deliveryNotFound()
    const hearing = await trx
      .selectFrom('alert_destinations')
      .select('destination_id')
      .where('destination_id', '=', delivery.destinationId)
      .where('deleted_at_ms', 'is', null)
      .where('enabled', '=', true)
      .executeTakeFirst()
    if (!hearing) throw destinationNotFound()
    await requireFewByHand(trx, parent, nowMs)
    const { numUpdatedRows } = await trx
      .updateTable('alert_deliveries')
      .set({ state: 'waiting', attempts: 0, next_at_ms: nowMs, claim: null, claimed_until_ms: null, ended_at_ms: null })
      .where('delivery_id', '=', deliveryId)
      .where('state', '<>', 'waiting')
      .executeTakeFirst()
    if (numUpdatedRows === 0n) throw deliveryWaits()
    await insertAuditEntry(trx, {
      atMs: nowMs,
      actor,
      ...parent,
      destinationId: delivery.destinationId,
      action: 'alert-sent-again',
      before: undefined,
      after: { alert_id: alertId, delivery_id: deliveryId },
    })
    return await findAlert(trx, parent, alertId)
  })
}

async function listDeliveries(db: Reader, alertIds: readonly string[]): Promise<AlertDelivery[]> {
  if (alertIds.length === 0) return []
  const rows = await db
    .selectFrom('alert_deliveries')
    .innerJoin('alert_destinations', 'alert_destinations.destination_id', 'alert_deliveries.destination_id')
    .selectAll('alert_deliveries')
    .select(['alert_destinations.name', 'alert_destinations.kind'])
    .where('alert_deliveries.alert_id', 'in', [...alertIds])
    .orderBy('alert_deliveries.delivery_id')
    .execute()
  return rows.map(row => ({
    deliveryId: row.delivery_id,
    alertId: row.alert_id,
    destinationId: row.destination_id,
    destinationName: row.name,
    destinationKind: row.kind,
    state: row.state,
    attempts: row.attempts,
    nextAtMs: Number(row.next_at_ms),
    lastStatus: row.last_status ?? undefined,
    lastError: row.last_error ?? undefined,
    endedAtMs: row.ended_at_ms === null ? undefined : Number(row.ended_at_ms),
  }))
}

/** A threshold, or the forecast, that was told of. */
export interface FiredThreshold {
  budgetId: string
  copy: string
  windowStartMs: number
  /** Per cent; 0: the forecast. */
  threshold: number
  atMs: number
}

/** What was told of these windows, rising. */
export async function listFired(db: Reader, windows: readonly WindowSum[]): Promise<FiredThreshold[]> {
  if (windows.length === 0) return []
  const { rows } = await sql<Selectable<BudgetTables['fired_thresholds']>>`
    select f.* from fired_thresholds f join unnest(${windows.map(({ budgetId }) => budgetId)}::text[],
      ${windows.map(({ copy }) => copy)}::text[], ${windows.map(({ window }) => window.startMs)}::bigint[])
      as named(budget_id, copy, window_start_ms) using (budget_id, copy, window_start_ms)
    order by threshold`.execute(db)
  return rows.map(row => ({
    budgetId: row.budget_id,
    copy: row.copy,
    windowStartMs: Number(row.window_start_ms),
    threshold: row.threshold,
    atMs: Number(row.at_ms),
  }))
}
