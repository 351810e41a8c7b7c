import type { Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import { uuidv7 } from 'uuidv7'
import { formatAmount } from '../amount.ts'
import { type BudgetParent, type CountedBudget, parentOf, spentIn, type WindowState } from '../budget.ts'
import type { BudgetTables } from '../db/schema.ts'
import type { AlertKind } from './alert-event.ts'
import { forecastOf } from './forecast.ts'
import { percentOf, thresholdsToTell } from './threshold.ts'

/** What a copy of a budget has spent in a window, by what is committed with this transaction. */
export interface SpentWindow {
  budget: CountedBudget
  window: WindowState
  /** Before this transaction, where it has changed nothing but this sum. */
  spentBefore?: bigint
}

/** Usage that comes later than this behind the end of its window tells nobody: what is over is in the reports. */
const lateMs = 60 * 60_000

/**
 * Tells of thresholds that windows have reached, each once for a copy and a window: whoever gets the row of a threshold in tells of
 * it, in the transaction that counts. Several at once are one alert.
 */
export async function fireThresholds(
  trx: Transaction<BudgetTables>,
  windows: readonly SpentWindow[],
  nowMs: number,
): Promise<void> {
  const heard = windows.filter(({ budget, window: { copy, window } }) => {
    if (budget.except?.includes(copy)) return false
    return window.endMs === undefined || window.endMs + lateMs > nowMs
  })
  const reached = heard.flatMap(spent => {
    const { budget, window, spentBefore } = spent
    const sum = { spent: spentIn(window), spentBefore, limit: BigInt(budget.limit) }
    const thresholds = thresholdsToTell(budget.thresholds, sum)
    return thresholds.length === 0 ? [] : [{ ...spent, thresholds, alertId: newAlertId() }]
  })
  const running = heard.flatMap(spent => {
    const exhaustedAtMs = spent.budget.forecastAlert ? forecastOfWindow(spent, nowMs)?.exhaustedAtMs : undefined
    return exhaustedAtMs === undefined
      ? []
      : [{ ...spent, exhaustedAtMs, thresholds: [forecastThreshold], alertId: newAlertId() }]
  })
  const claimed = await claimThresholds(trx, [...reached, ...running], nowMs)
  const fired = reached.flatMap(one => {
    const thresholds = claimed.get(one.alertId)
    return thresholds === undefined ? [] : [{ ...one, thresholds }]
  })
  const warned = running.filter(({ alertId }) => claimed.has(alertId))
  await putAlerts(
    trx,
    warned.map(({ alertId, budget, window, exhaustedAtMs }) => ({
      alertId,
      parent: parentOf(budget),
      budgetId: budget.budget_id,
      kind: 'forecast',
      document: { ...aboutWindow(budget, window), exhausted_at: new Date(exhaustedAtMs).toISOString() },
    })),
    nowMs,
  )
  await putAlerts(
    trx,
    fired.map(({ alertId, budget, window, thresholds }) => ({
      alertId,
      parent: parentOf(budget),
      budgetId: budget.budget_id,
      kind: 'threshold',
      document: {
        ...aboutWindow(budget, window),
        threshold: thresholds.at(-1) ?? 0,
        thresholds,
      },
    })),
    nowMs,
  )
}

/** Where the table of what was told has the forecast. */
const forecastThreshold = 0

/** From when on a budget counts, it has a pace. */
export function forecastOfWindow({ budget, window }: Pick<SpentWindow, 'budget' | 'window'>, nowMs: number) {
  const { startMs, endMs } = window.window
  const counted = { startMs: Math.max(startMs, budget.countsFromMs), endMs }
  return forecastOf({ spent: spentIn(window), limit: BigInt(budget.limit) }, counted, nowMs)
}

/** What every alert says of a budget's window; amounts in its unit, as REST shows them. */
export function aboutWindow(budget: CountedBudget, state: WindowState): Record<string, unknown> {
  const { copy, window } = state
  const spent = spentIn(state)
  return {
    ...aboutBudget(budget),
    copy: budget.per === undefined ? null : copy,
    spent: formatAmount(budget.unit, spent),
    spent_percent: percentOf(spent, BigInt(budget.limit)),
    window_started_at: new Date(window.startMs).toISOString(),
    resets_at: window.endMs === undefined ? null : new Date(window.endMs).toISOString(),
  }
}

/** What every alert says of a budget. */
export function aboutBudget(budget: CountedBudget): Record<string, unknown> {
  const { project: _project, account: _account, ...scope } = budget.scope
  return {
    budget_id: budget.budget_id,
    budget_name: budget.name,
    account_id: budget.account_id,
    project_id: budget.projectId ?? null,
    scope,
    per: budget.per ?? null,
    unit: budget.unit,
    mode: budget.mode,
    limit: formatAmount(budget.unit, BigInt(budget.limit)),
    window: budget.window,
    time_zone: budget.time_zone,
  }
}

/** An alert that is to be written down, and told. */
export interface AlertDraft {
  alertId: string
  parent: BudgetParent
  budgetId: string | undefined
  kind: AlertKind
  document: Record<string, unknown>
}

/** Sorts by time. */
export function newAlertId(): string {
  return `alr_${uuidv7()}`
}

interface ReachedThresholds extends SpentWindow {
  thresholds: number[]
  alertId: string
}

/** The thresholds that nobody has told of, by the alert that does now. */
export async function claimThresholds(
  trx: Transaction<BudgetTables>,
  reached: readonly ReachedThresholds[],
  nowMs: number,
): Promise<Map<string, number[]>> {
  const claimed = new Map<string, number[]>()
  if (reached.length === 0) return claimed
  const rows = reached.flatMap(({ budget, window, thresholds, alertId }) =>
    thresholds.map(threshold => ({
      budget_id: budget.budget_id,
      copy: window.copy,
      window_start_ms: window.window.startMs,
      threshold,
      alert_id: alertId,
    })),
  )
  const { rows: inserted } = await sql<{ alert_id: string; threshold: number }>`
    insert into fired_thresholds (budget_id, copy, window_start_ms, threshold, alert_id, at_ms)
    select budget_id, copy, window_start_ms, threshold, alert_id, ${nowMs}::bigint
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as reached(budget_id text, copy text, window_start_ms bigint, threshold int, alert_id text)
    order by budget_id, copy, window_start_ms, threshold
    on conflict do nothing returning alert_id, threshold`.execute(trx)
  for (const { alert_id: alertId, threshold } of inserted)
    claimed.set(
      alertId,
      [...(claimed.get(alertId) ?? []), threshold].sort((a, b) => a - b),
    )
  return claimed
}

/** Writes alerts down, with a delivery to each destination that is to hear of them. */
export async function putAlerts(
  trx: Transaction<BudgetTables>,
  alerts: readonly AlertDraft[],
  nowMs: number,
): Promise<void> {
  if (alerts.length === 0) return
  const rows = alerts.map(({ alertId, parent, budgetId, kind, document }) => ({
    alert_id: alertId,
    account_id: parent.accountId,
    project_id: parent.projectId ?? null,
    budget_id: budgetId ?? null,
    kind,
    document,
  }))
  // As one value: a statement takes 65,535, and a budget has any number of copies.
  await sql`insert into alerts (alert_id, account_id, project_id, budget_id, kind, document, at_ms)
    select alert_id, account_id, project_id, budget_id, kind, document, ${nowMs}::bigint
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as told(alert_id text, account_id text, project_id uuid, budget_id text, kind text, document jsonb)`.execute(trx)
  const destinations = await listHearers(trx, alerts)
  const deliveries = alerts.flatMap(({ alertId, parent, budgetId, kind }) =>
    destinations
      .filter(
        destination =>
          (destination.project_id ?? undefined) === parent.projectId &&
          destination.account_id === parent.accountId &&
          destination.events.includes(kind) &&
          (destination.budget_id === null || destination.budget_id === budgetId),
      )
      .map(({ destination_id }) => ({ alertId, destinationId: destination_id })),
  )
  await putDeliveries(trx, deliveries, nowMs)
}

async function listHearers(trx: Transaction<BudgetTables>, alerts: readonly AlertDraft[]) {
  const projectIds = [...new Set(alerts.flatMap(({ parent }) => parent.projectId ?? []))]
  const accountIds = [...new Set(alerts.map(({ parent }) => parent.accountId))]
  return await trx
    .selectFrom('alert_destinations')
    .select(['destination_id', 'account_id', 'project_id', 'budget_id', 'events'])
    .where('kind', '<>', 'member')
    .where('deleted_at_ms', 'is', null)
    .where('enabled', '=', true)
    .where('account_id', 'in', accountIds)
    .where(({ eb, or }) =>
      or([eb('project_id', 'is', null), ...(projectIds.length === 0 ? [] : [eb('project_id', 'in', projectIds)])]),
    )
    .execute()
}

/** Puts deliveries into the queue. */
export async function putDeliveries(
  trx: Transaction<BudgetTables>,
  deliveries: readonly { alertId: string; destinationId: string }[],
  nowMs: number,
): Promise<void> {
  if (deliveries.length === 0) return
  const rows = deliveries.map(({ alertId, destinationId }) => ({
    delivery_id: `dlv_${uuidv7()}`,
    alert_id: alertId,
    destination_id: destinationId,
  }))
  await sql`insert into alert_deliveries
      (delivery_id, alert_id, destination_id, state, attempts, next_at_ms, created_at_ms)
    select delivery_id, alert_id, destination_id, 'waiting', 0, ${nowMs}::bigint, ${nowMs}::bigint
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as told(delivery_id text, alert_id text, destination_id text)`.execute(trx)
}
