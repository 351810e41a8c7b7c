import { type Statement, type Transaction, together } from '@sluice/postgres'
import { type Selectable, sql } from 'kysely'
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

/** A window that has reached thresholds, or will run out before it ends, with the alert that tells of it if nobody has. */
export interface ReachedThresholds extends SpentWindow {
  kind: Extract<AlertKind, 'forecast' | 'threshold'>
  thresholds: number[]
  alertId: string
  about: Record<string, unknown>
}

/** Which thresholds windows have reached by what they have spent, told already or not. Several of a window are one alert. */
export function findReached(windows: readonly SpentWindow[], nowMs: number): ReachedThresholds[] {
  const heard = windows.filter(({ budget, window: { copy, window } }) => {
    if (budget.except?.includes(copy)) return false
    return window.endMs === undefined || window.endMs + lateMs > nowMs
  })
  const running = heard.flatMap((spent): ReachedThresholds[] => {
    const exhaustedAtMs = spent.budget.forecastAlert ? forecastOfWindow(spent, nowMs)?.exhaustedAtMs : undefined
    if (exhaustedAtMs === undefined) return []
    const about = { exhausted_at: new Date(exhaustedAtMs).toISOString() }
    return [{ ...spent, kind: 'forecast', thresholds: [forecastThreshold], alertId: newAlertId(), about }]
  })
  const reached = heard.flatMap((spent): ReachedThresholds[] => {
    const { budget, window, spentBefore } = spent
    const sum = { spent: spentIn(window), spentBefore, limit: BigInt(budget.limit) }
    const thresholds = thresholdsToTell(budget.thresholds, sum)
    return thresholds.length === 0
      ? []
      : [{ ...spent, kind: 'threshold', thresholds, alertId: newAlertId(), about: {} }]
  })
  return [...running, ...reached]
}

/** The alerts of what {@link claimThresholds} has given to this transaction. */
export function draftAlerts(reached: readonly ReachedThresholds[], claimed: readonly ClaimedThreshold[]): AlertDraft[] {
  return reached.flatMap(({ kind, alertId, budget, window, about }) => {
    const thresholds = claimed.filter(({ alert_id }) => alert_id === alertId).map(({ threshold }) => threshold)
    thresholds.sort((a, b) => a - b)
    const threshold = thresholds.at(-1)
    if (threshold === undefined) return []
    const document = {
      ...aboutWindow(budget, window),
      ...about,
      ...(kind === 'threshold' && { threshold, thresholds }),
    }
    return [{ alertId, parent: parentOf(budget), budgetId: budget.budget_id, kind, document }]
  })
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

export interface ClaimedThreshold {
  alert_id: string
  threshold: number
}

/**
 * Each threshold is told once for a copy and a window: whoever gets its row in tells of it, in the transaction that counts. Returns
 * those that nobody has told of, by the alert that does now.
 */
export function claimThresholds(reached: readonly ReachedThresholds[], nowMs: number): Statement<ClaimedThreshold> {
  const rows = reached.flatMap(({ budget, window, thresholds, alertId }) =>
    thresholds.map(threshold => ({
      budget_id: budget.budget_id,
      copy: window.copy,
      window_start_ms: window.window.startMs,
      threshold,
      alert_id: alertId,
    })),
  )
  return sql<ClaimedThreshold>`
    insert into fired_thresholds (budget_id, copy, window_start_ms, threshold, alert_id, at_ms)
    select budget_id, copy, window_start_ms, threshold, alert_id, ${nowMs}::bigint
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as reached(budget_id text, copy text, window_start_ms bigint, threshold int, alert_id text)
    order by budget_id, copy, window_start_ms, threshold
    on conflict do nothing returning alert_id, threshold`
}

/** Writes alerts down, with a delivery to each destination that is to hear of them. */
export async function putAlerts(
  trx: Transaction<BudgetTables>,
  alerts: readonly AlertDraft[],
  nowMs: number,
): Promise<void> {
  if (alerts.length === 0) return
  const parents = alerts.map(({ parent }) => parent)
  const [hearers] = await together(trx, [selectHearers(parents)])
  await together(trx, insertAlerts(alerts, hearers, nowMs))
}

/** The statements of {@link putAlerts}, once it is known who hears of what happens under the parents of the alerts. */
export function insertAlerts(
  alerts: readonly AlertDraft[],
  hearers: readonly Hearer[],
  nowMs: number,
): Statement<unknown>[] {
  if (alerts.length === 0) return []
  const rows = alerts.map(({ alertId, parent, budgetId, kind, document }) => ({
    alert_id: alertId,
    account_id: parent.accountId,
    project_id: parent.projectId ?? null,
    budget_id: budgetId ?? null,
    kind,
    document,
  }))
  const deliveries = alerts.flatMap(({ alertId, parent, budgetId, kind }) =>
    hearers
      .filter(
        hearer =>
          (hearer.project_id ?? undefined) === parent.projectId &&
          hearer.account_id === parent.accountId &&
          hearer.events.includes(kind) &&
          (hearer.budget_id === null || hearer.budget_id === budgetId),
      )
      .map(({ destination_id }) => ({ alertId, destinationId: destination_id })),
  )
  return [
    // As one value: a statement takes 65,535, and a budget has any number of copies.
    sql`insert into alerts (alert_id, account_id, project_id, budget_id, kind, document, at_ms)
      select alert_id, account_id, project_id, budget_id, kind, document, ${nowMs}::bigint
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as told(alert_id text, account_id text, project_id uuid, budget_id text, kind text, document jsonb)`,
    ...(deliveries.length === 0 ? [] : [insertDeliveries(deliveries, nowMs)]),
  ]
}

/** A destination of alerts, and of which it hears. */
export type Hearer = Pick<
  Selectable<BudgetTables['alert_destinations']>,
  'destination_id' | 'account_id' | 'project_id' | 'budget_id' | 'events'
>

/** Who hears of what happens under these parents. */
export function selectHearers(parents: readonly BudgetParent[]): Statement<Hearer> {
  const projectIds = [...new Set(parents.flatMap(({ projectId }) => projectId ?? []))]
  const accountIds = [...new Set(parents.map(({ accountId }) => accountId))]
  return sql<Hearer>`select destination_id, account_id, project_id, budget_id, events from alert_destinations
    where kind <> 'member' and deleted_at_ms is null and enabled and account_id = any(${accountIds}::text[])
      and (project_id is null or project_id = any(${projectIds}::uuid[]))`
}

/** Puts deliveries into the queue. */
export async function putDeliveries(
  trx: Transaction<BudgetTables>,
  deliveries: readonly Delivery[],
  nowMs: number,
): Promise<void> {
  if (deliveries.length > 0) await together(trx, [insertDeliveries(deliveries, nowMs)])
}

interface Delivery {
  alertId: string
  destinationId: string
}

function insertDeliveries(deliveries: readonly Delivery[], nowMs: number): Statement<unknown> {
  const rows = deliveries.map(({ alertId, destinationId }) => ({
    delivery_id: `dlv_${uuidv7()}`,
    alert_id: alertId,
    destination_id: destinationId,
  }))
  return sql`insert into alert_deliveries
      (delivery_id, alert_id, destination_id, state, attempts, next_at_ms, created_at_ms)
    select delivery_id, alert_id, destination_id, 'waiting', 0, ${nowMs}::bigint, ${nowMs}::bigint
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as told(delivery_id text, alert_id text, destination_id text)`
}
