import {
  type Budget,
  claimedScopeDimensions,
  copyOfChosen,
  isPerChosen,
  type PerDimension,
  splitTag,
  tagOf,
  tagOfPer,
  unclaimed,
} from '@sluice/contracts'
import type { Window, windowAt } from '@sluice/leases'
import type { Amounts, Dimensions } from './spend-fact.ts'

/** A budget as this service keeps it. */
export interface CountedBudget extends Budget {
  /** The project whose path it was made under; its scope always names it. Undefined: it spans the projects of its account. */
  projectId: string | undefined
  /** Events admitted before this instant do not count: the begin of the window it was made in, or its making. */
  countsFromMs: number
  /** Without raises: `limit` is the one in force. */
  ownLimit: number
  /** The team whose seats it is for: that team says what it is. */
  seatTeamId?: string
  /** Everybody of this kind has a copy of it by default: a monthly budget of their own stands in its place. */
  quotaOf?: QuotaKind
  /** Per cents of the limit in force at which people are told, rising. */
  thresholds: readonly number[]
  /** People are told once a window where the money will not last to its end. */
  forecastAlert: boolean
}

/** Who may have a monthly quota. */
export type QuotaKind = 'member' | 'service_account'

/** Under what a budget is made, found and changed: a project, or without one its account. */
export interface BudgetParent {
  accountId: string
  projectId: string | undefined
}

export function parentOf({
  account_id: accountId,
  projectId,
}: Pick<CountedBudget, 'account_id' | 'projectId'>): BudgetParent {
  return { accountId, projectId }
}

/** A sum of one budget copy in one window. */
export interface WindowSum {
  budgetId: string
  copy: string
  window: Window
  amount: bigint
}

/** A window with what its leases have come to beside `amount`, which is what counts by usage that names no lease. */
export interface WindowState extends WindowSum {
  settled: bigint
  unresolved: bigint
  outstanding: bigint
}

/** What a window has spent, in leases and without. */
export function spentIn(window: WindowState): bigint {
  return window.amount + window.settled
}

/** What is set aside of it: by calls that run, or whose end is not known. */
export function heldIn(window: WindowState): bigint {
  return window.unresolved + window.outstanding
}

/** Something that was admitted and counts: a new fact, or the difference that an adjustment makes to one. */
export interface Counted {
  dimensions: Dimensions
  admittedAtMs: number
  amounts: Amounts
  /** Budgets that count this by their leases. Absent: none. */
  heldBy?: readonly string[]
}

/** Whose seat in which team a budget of money is for, and for nothing else. */
export function seatOf({ scope, per, unit }: Pick<Budget, 'scope' | 'per' | 'unit'>) {
  const { project, team: teamId, member: memberId, ...others } = scope
  if (project === undefined || teamId === undefined || memberId === undefined) return undefined
  return unit === 'usd' && per === undefined && Object.keys(others).length === 0 ? { teamId, memberId } : undefined
}

/** Whose monthly quota a budget is, and nothing else. */
export function quotaOf({
  scope,
  per,
  unit,
  window,
  mode,
}: Pick<Budget, 'scope' | 'per' | 'unit' | 'window' | 'mode'>) {
  const { project, member, service_account: serviceAccount, ...others } = scope
  if (project === undefined || per !== undefined || unit !== 'usd' || window !== 'month' || mode === 'alert')
    return undefined
  if (Object.keys(others).length > 0 || (member === undefined) === (serviceAccount === undefined)) return undefined
  return member === undefined
    ? { kind: 'service_account' as const, id: serviceAccount ?? '' }
    : { kind: 'member' as const, id: member }
}

/** Who has a monthly quota of their own, in the place of the one of their kind. */
export function quotaExceptions(kind: QuotaKind, budgets: readonly CountedBudget[]): string[] {
  const own = budgets.flatMap(budget => {
    const quota = quotaOf(budget)
    return quota?.kind === kind ? [quota.id] : []
  })
  return [...new Set(own)].sort()
}

/** The people for whom a budget of their own stands in the place of what their team gives each seat in such a window. */
export function exceptionsOf(
  seats: Pick<CountedBudget, 'seatTeamId' | 'window'>,
  budgets: readonly CountedBudget[],
): string[] {
  const own = budgets.flatMap(budget => {
    const seat = budget.mode === 'alert' || budget.window !== seats.window ? undefined : seatOf(budget)
    return seat?.teamId === seats.seatTeamId && seat ? [seat.memberId] : []
  })
  return [...new Set(own)].sort()
}

/**
 * The copy of a budget that an attempt counts in: the value of its `per` dimension, empty for a shared pool. Of what callers choose it
 * may be one of those that share a copy: see `told-apart-store.ts`. Undefined: none, since a dimension of the scope differs, or the
 * attempt has no value for `per`.
 */
export function copyOf(budget: Pick<Budget, 'scope' | 'per'>, dimensions: Dimensions): string | undefined {
  for (const [name, value] of Object.entries(budget.scope) as [keyof Budget['scope'], string | undefined][]) {
    if (value !== undefined && !isIn(dimensions, name, value)) return undefined
  }
  if (budget.per === undefined) return ''
  const value = saidOf(budget.per, dimensions)
  return isPerChosen(budget) ? copyOfChosen(value) : value
}

function saidOf(per: PerDimension, dimensions: Dimensions): string | undefined {
  const tag = tagOfPer(per)
  return tag === undefined ? dimensions[per as Exclude<PerDimension, `tag:${string}`>] : tagOf(dimensions.tags, tag)
}

function isIn(dimensions: Dimensions, name: keyof Budget['scope'], value: string): boolean {
  if (name === 'tag') {
    const tag = splitTag(value)
    return tagOf(dimensions.tags, tag.name) === tag.value
  }
  return (dimensions[name] ?? (claimedNames.has(name) ? unclaimed : undefined)) === value
}

const claimedNames: ReadonlySet<string> = new Set(claimedScopeDimensions)

/** What amounts are in a budget's unit. */
export function amountIn(unit: Budget['unit'], amounts: Amounts): number {
  switch (unit) {
    case 'usd':
      return amounts.nanoUsd
    case 'tokens':
      return amounts.tokens
    case 'requests':
      return amounts.requests
    case 'concurrent':
      return 0
  }
}

/**
 * Groups what counts into sums per (budget, copy, window of admission), in the order in which windows are locked. Windows
 * that only got zeros are left out.
 */
export function sumByWindow(
  budgets: readonly CountedBudget[],
  counted: readonly Counted[],
  findWindow: typeof windowAt,
): WindowSum[] {
  const sums = new Map<string, WindowSum>()
  for (const { dimensions, admittedAtMs, amounts, heldBy } of counted) {
    for (const budget of budgets) {
      if (heldBy?.includes(budget.budget_id)) continue
      if (admittedAtMs < budget.countsFromMs) continue
      const amount = amountIn(budget.unit, amounts)
      if (amount === 0) continue
      const copy = copyOf(budget, dimensions)
      if (copy === undefined) continue
      const window = findWindow(budget.window, budget.time_zone, admittedAtMs)
      const key = windowKey(budget.budget_id, copy, window.startMs)
      const sum = sums.get(key)
      if (sum) sum.amount += BigInt(amount)
      else sums.set(key, { budgetId: budget.budget_id, copy, window, amount: BigInt(amount) })
    }
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum)
}

/** One text for a budget copy's window. */
export function windowKey(budgetId: string, copy: string, startMs: number): string {
  return JSON.stringify([budgetId, copy, startMs])
}
