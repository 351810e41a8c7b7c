import { cutoffKey, mostToldApart, Type } from '@sluice/contracts'
import { windowAt } from '@sluice/leases'
import { forecastOfWindow } from './alerts/fire-alerts-store.ts'
import { mayHaveThresholds } from './alerts/threshold.ts'
import { formatAmount } from './amount.ts'
import { type CountedBudget, heldIn, spentIn, type WindowState } from './budget.ts'
import type { BudgetState } from './budget-management-store.ts'

/** All that are told apart, the copy of the others, and that of who says nothing. */
const mostCopies = mostToldApart + 2

const NullableTime = Type.Union([Type.String(), Type.Null()])
const CopyAnswer = {
  spent: Type.String(),
  held: Type.String(),
  unresolved: Type.String(),
  left: Type.String(),
  cutoff: Type.Object({
    active: Type.Boolean(),
    since: Type.Optional(Type.String()),
    until: Type.Optional(NullableTime),
  }),
  /** What people were told of in this window; `forecast`: that it will not last. */
  /** At the pace of this window; null: too little of it has passed, nothing was spent, or it has no end. */
  forecast: Type.Union([
    Type.Object({
      projected: Type.String({ description: 'What it will have spent at its end' }),
      exhausted_at: Type.Union([Type.String(), Type.Null()], { description: 'When the limit is reached; RFC 3339' }),
    }),
    Type.Null(),
  ]),
  fired: Type.Array(
    Type.Object({
      threshold: Type.Union([Type.Integer(), Type.Literal('forecast')], { description: 'Per cent of the limit' }),
      at: Type.String({ description: 'RFC 3339' }),
    }),
  ),
}

/** What {@link toAnswer} makes: a shared pool has its amounts beside the budget, one with `per` a list of copies. */
export const BudgetAnswer = Type.Object({
  id: Type.String(),
  version: Type.Integer(),
  /** Null: it spans the projects of the account. */
  project_id: Type.Union([Type.String(), Type.Null()]),
  name: Type.String(),
  scope: Type.Record(Type.String(), Type.String()),
  /** The team whose seats it is for: it is changed there. */
  seats_of_team: Type.Union([Type.String(), Type.Null()]),
  per: Type.Union([Type.String(), Type.Null()]),
  /** People for whom a budget of their own stands in the place of this one. */
  except: Type.Optional(Type.Array(Type.String())),
  unit: Type.String(),
  limit: Type.String(),
  limit_nano_usd: Type.Optional(Type.Integer()),
  limit_in_force: Type.String(),
  raises: Type.Array(
    Type.Object({ id: Type.String(), amount: Type.String(), until: Type.String(), reason: Type.String() }),
  ),
  window: Type.String(),
  time_zone: Type.String(),
  mode: Type.String(),
  hold: Type.Optional(Type.String()),
  on_unknown: Type.Unknown(),
  thresholds: Type.Array(Type.Integer(), { description: 'Whole per cents of the limit in force' }),
  forecast_alert: Type.Boolean(),
  created_at: Type.String(),
  counts_from: Type.String(),
  window_started_at: Type.String(),
  resets_at: NullableTime,
  spent: Type.Optional(CopyAnswer.spent),
  held: Type.Optional(CopyAnswer.held),
  unresolved: Type.Optional(CopyAnswer.unresolved),
  left: Type.Optional(CopyAnswer.left),
  cutoff: Type.Optional(CopyAnswer.cutoff),
  forecast: Type.Optional(CopyAnswer.forecast),
  fired: Type.Optional(CopyAnswer.fired),
  copies: Type.Optional(Type.Array(Type.Object({ copy: Type.String(), ...CopyAnswer }))),
  more_copies: Type.Optional(Type.Integer()),
})

/** A budget as REST shows it. Amounts of `usd` budgets are decimal USD text, exact; others whole numbers as text. */
export function toAnswer({ budget, windows, cutoffs, raises, fired }: BudgetState, nowMs: number) {
  const told = { cutoffs, fired }
  const window = windowAt(budget.window, budget.time_zone, nowMs)
  const { project: _project, account: _account, ...scope } = budget.scope
  const shared = windows.find(({ copy }) => copy === '')
  return {
    id: budget.budget_id,
    version: budget.version,
    project_id: budget.projectId ?? null,
    name: budget.name,
    scope,
    seats_of_team: budget.seatTeamId ?? null,
    per: budget.per ?? null,
    ...(budget.except === undefined ? {} : { except: budget.except }),
    unit: budget.unit,
    limit: formatAmount(budget.unit, BigInt(budget.ownLimit)),
    ...(budget.unit === 'usd' ? { limit_nano_usd: budget.ownLimit } : {}),
    limit_in_force: formatAmount(budget.unit, BigInt(budget.limit)),
    raises: raises.map(raise => ({
      id: raise.raiseId,
      amount: formatAmount(budget.unit, BigInt(raise.amount)),
      until: toIso(raise.untilMs),
      reason: raise.reason,
    })),
    window: budget.window,
    time_zone: budget.time_zone,
    mode: budget.mode,
    ...(budget.mode === 'hard' ? { hold: budget.hold ?? 'paced' } : {}),
    on_unknown: unknownAnswer(budget),
    thresholds: [...budget.thresholds],
    forecast_alert: budget.forecastAlert,
    created_at: toIso(budget.created_at_ms),
    counts_from: toIso(budget.countsFromMs),
    window_started_at: toIso(window.startMs),
    resets_at: window.endMs === undefined ? null : toIso(window.endMs),
    ...(budget.per === undefined
      ? copyAnswer(budget, '', shared, told, nowMs)
      : {
          copies: windows
            .slice(0, mostCopies)
            .map(window => ({ copy: window.copy, ...copyAnswer(budget, window.copy, window, told, nowMs) })),
          more_copies: Math.max(0, windows.length - mostCopies),
        }),
  }
}

function copyAnswer(
  budget: CountedBudget,
  copy: string,
  window: WindowState | undefined,
  { cutoffs, fired }: Pick<BudgetState, 'cutoffs' | 'fired'>,
  nowMs: number,
) {
  const cutoff = cutoffs.get(cutoffKey(budget.budget_id, copy))
  const stands = cutoff !== undefined && (cutoff.until_ms ?? Infinity) > nowMs
  const forecast = window && mayHaveThresholds(budget) ? forecastOfWindow({ budget, window }, nowMs) : undefined
  const spent = window ? spentIn(window) : 0n
  const held = window ? heldIn(window) : 0n
  const left = BigInt(budget.limit) - spent - held
  return {
    spent: formatAmount(budget.unit, spent),
    held: formatAmount(budget.unit, held),
    unresolved: formatAmount(budget.unit, window?.unresolved ?? 0n),
    left: formatAmount(budget.unit, left > 0n ? left : 0n),
    cutoff: stands
      ? {
          active: true,
          since: toIso(cutoff.at_ms),
          until: cutoff.until_ms === undefined ? null : toIso(cutoff.until_ms),
        }
      : { active: false },
    forecast: forecast
      ? {
          projected: formatAmount(budget.unit, forecast.projected),
          exhausted_at: forecast.exhaustedAtMs === undefined ? null : toIso(forecast.exhaustedAtMs),
        }
      : null,
    fired: fired
      .filter(one => one.copy === copy && one.windowStartMs === window?.window.startMs)
      .map(({ threshold, atMs }) => ({
        threshold: threshold === 0 ? ('forecast' as const) : threshold,
        at: toIso(atMs),
      })),
  }
}

function unknownAnswer({ unit, on_unknown: onUnknown }: CountedBudget) {
  return onUnknown === 'deny' ? 'deny' : { allow_up_to: formatAmount(unit, BigInt(onUnknown.allow_up_to)) }
}

function toIso(ms: number): string {
  return new Date(ms).toISOString()
}
