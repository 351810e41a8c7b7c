import type { Budget, BudgetWindow, UsageRecordedData } from '@sluice/contracts'

/** A budget that a call counts against, and the copy of it. */
export interface BudgetCopy {
  budget: Budget
  copy: string
}

/** What of the tightest budget remains after a call. */
export interface BudgetLeft {
  name: string
  unit: string
  left: number
  limit: number
}

/** The budgets a call counts against, by its signed dimensions. */
export function matchingCopies(event: UsageRecordedData, budgets: Iterable<Budget>): BudgetCopy[] {
  const { identity } = event
  const dimensions: Record<string, string | undefined> = {
    account: identity.account_id,
    project: identity.project_id,
    team: identity.team_id,
    member: identity.member_id,
    room: identity.room,
    key: identity.key_id,
    service_account: identity.service_account_id,
    participant: identity.participant,
    model: event.requested_model,
    provider: event.provider,
  }
  const copies: BudgetCopy[] = []
  for (const budget of budgets) {
    if (budget.account_id !== identity.account_id) continue
    if (!Object.entries(budget.scope).every(([name, value]) => dimensions[name] === value)) continue
    const copy = budget.per === undefined ? '' : dimensions[budget.per]
    if (copy !== undefined) copies.push({ budget, copy })
  }
  return copies
}

/** The budget with the smallest share left. */
export function findTightest(
  copies: readonly BudgetCopy[],
  windowOf: (budget: Budget, copy: string) => BudgetWindow | undefined,
  nowMs: number,
): BudgetLeft | undefined {
  let tightest: BudgetLeft | undefined
  for (const { budget, copy } of copies) {
    const window = windowOf(budget, copy)
    const isCurrent = window !== undefined && (window.window_end_ms ?? Infinity) > nowMs
    const left = budget.limit - (isCurrent ? window.spent + window.held : 0)
    if (tightest === undefined || left * tightest.limit < tightest.left * budget.limit)
      tightest = { name: budget.name, unit: budget.unit, left, limit: budget.limit }
  }
  return tightest
}
