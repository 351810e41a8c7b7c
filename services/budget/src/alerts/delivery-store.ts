import { type Kysely, transact } from '@sluice/postgres'
import { type Selectable, sql } from 'kysely'
import { insertAuditEntry } from '../audit-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import type { Alert } from './alert-event.ts'
import type { AlertDestination } from './destination.ts'
import { fromRow as destinationOf } from './destination-store.ts'
import { retryDelayMs } from './retry-delay.ts'

/** An attempt that is this process's alone until its time is over. */
export interface ClaimedDelivery {
  deliveryId: string
  claim: string
  /** This one included. */
  attempts: number
  alert: Alert
  destination: AlertDestination
}

/** Longer than any attempt takes: who has died in one leaves it to others after this time. */
const claimMs = 60_000

/**
 * Takes what is due, a few of each destination, so that those that answer wait for none that does not, and of accounts in turn, however
 * many destinations that do not answer one of them has. What another process has taken is left to it.
 * @param busy destinations with as many attempts under way here as they may have
 */
export async function claimDeliveries(
  db: Kysely<BudgetTables>,
  claim: string,
  { busy, ofEach, most, nowMs }: { busy: readonly string[]; ofEach: number; most: number; nowMs: number },
): Promise<ClaimedDelivery[]> {
  type Row = Selectable<BudgetTables['alert_destinations']> & {
    delivery_id: string
    attempts: number
    alert_id: string
    alert_kind: Alert['kind']
    alert_budget_id: string | null
    document: Record<string, unknown>
    at_ms: string
  }
  // Asked all the time and nearly always in vain: to plan what follows is most of what an idle service would do.
  const waiting = await sql`
    select from alert_deliveries where state = 'waiting' and next_at_ms <= ${nowMs} limit 1`.execute(db)
  if (waiting.rows.length === 0) return []
  const { rows } = await sql<Row>`
    with hearing as (
      select distinct destination_id from alert_deliveries
      where state = 'waiting' and next_at_ms <= ${nowMs} and destination_id <> all(${[...busy]}::text[])),
    turns as (
      select destination_id, row_number() over (partition by account_id order by random()) as turn
      from hearing join alert_destinations using (destination_id) order by turn, random()),
    due as (
      select each.delivery_id from turns cross join lateral (
        select delivery_id from alert_deliveries d
        where d.destination_id = turns.destination_id and state = 'waiting' and next_at_ms <= ${nowMs}
          and (claimed_until_ms is null or claimed_until_ms <= ${nowMs})
        order by next_at_ms limit ${ofEach} for update skip locked) each
      limit ${most}),
    claimed as (
      update alert_deliveries d set claim = ${claim}, claimed_until_ms = ${nowMs + claimMs}, attempts = attempts + 1
      from due where d.delivery_id = due.delivery_id returning d.*)
    select destination.*, claimed.delivery_id, claimed.attempts, alert.alert_id, alert.kind as alert_kind,
      alert.budget_id as alert_budget_id, alert.document, alert.at_ms
    from claimed join alerts alert using (alert_id) join alert_destinations destination using (destination_id)`.execute(
    db,
  )
  return rows.map(row => ({
    deliveryId: row.delivery_id,
    claim,
    attempts: row.attempts,
    alert: {
      alertId: row.alert_id,
      kind: row.alert_kind,
      budgetId: row.alert_budget_id ?? undefined,
      atMs: Number(row.at_ms),
      document: row.document,
    },
    destination: destinationOf(row),
  }))
}

/** What became of an attempt. */
export interface AttemptOutcome {
  ok: boolean
  httpStatus?: number
  /** Why not, in words. */
  error?: string
  /** Nobody will ever listen there: it is not tried again. */
  isFinal?: boolean
  /** There is nobody any more who would want to hear it: nobody is alarmed of that. */
  isMoot?: boolean
}

/** Where a delivery is after an attempt. */
export type DeliveryProgress = 'delivered' | 'waiting' | 'given_up' | 'cancelled'

/**
 * Writes an attempt down, unless its time was over and another has taken it. What is given up nobody will hear of any more: that
 * stands in the trail.
 */
export function finishAttempt(
  db: Kysely<BudgetTables>,
  {
    deliveryId,
    claim,
    attempts,
    alert,
    destination,
  }: Omit<ClaimedDelivery, 'destination'> & {
    destination: Pick<AlertDestination, 'destinationId' | 'parent'>
  },
  outcome: AttemptOutcome,
  nowMs: number,
): Promise<DeliveryProgress> {
  const delayMs = outcome.ok || outcome.isFinal || outcome.isMoot ? undefined : retryDelayMs(attempts)
  const state = progressOf(outcome, delayMs)
  return transact(db, async trx => {
    const { numUpdatedRows: written } = await trx
      .updateTable('alert_deliveries')
      .set({
        state,
        next_at_ms: nowMs + (delayMs ?? 0),
        claim: null,
        claimed_until_ms: null,
        last_status: outcome.httpStatus ?? null,
        last_error: outcome.error ?? null,
        ended_at_ms: state === 'waiting' ? null : nowMs,
      })
      .where('delivery_id', '=', deliveryId)
      .where('claim', '=', claim)
      .where('state', '=', 'waiting')
      .executeTakeFirst()
    if (state === 'given_up' && written > 0n)
      await insertAuditEntry(trx, {
        atMs: nowMs,
        actor: { kind: 'service', id: 'budget' },
        ...destination.parent,
        destinationId: destination.destinationId,
        action: 'alert-given-up',
        before: undefined,
        after: { alert_id: alert.alertId, delivery_id: deliveryId, attempts, error: outcome.error ?? null },
      })
    return state
  })
}

function progressOf({ ok, isMoot }: AttemptOutcome, delayMs: number | undefined): DeliveryProgress {
  if (ok) return 'delivered'
  if (isMoot) return 'cancelled'
  return delayMs === undefined ? 'given_up' : 'waiting'
}

/** Forgets alerts of which nothing waits, and thresholds of windows that are forgotten. @returns the most of either; call again while it is `most` */
export async function pruneAlerts(
  db: Kysely<BudgetTables>,
  { alertsBeforeMs, thresholdsBeforeMs }: { alertsBeforeMs: number; thresholdsBeforeMs: number },
  most: number,
): Promise<number> {
  const alerts = await sql`delete from alerts where ctid = any(array(
    select ctid from alerts where at_ms < ${alertsBeforeMs} and not exists (select from alert_deliveries d
      where d.alert_id = alerts.alert_id and d.state = 'waiting') limit ${most}))`.execute(db)
  const thresholds = await sql`delete from fired_thresholds where ctid = any(array(
    select ctid from fired_thresholds f where at_ms < ${thresholdsBeforeMs} and not exists (select from budget_windows w
      where w.budget_id = f.budget_id and w.copy = f.copy and w.window_start_ms = f.window_start_ms) limit ${most}))`.execute(
    db,
  )
  return Math.max(Number(alerts.numAffectedRows ?? 0n), Number(thresholds.numAffectedRows ?? 0n))
}
