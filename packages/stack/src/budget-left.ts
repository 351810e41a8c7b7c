import {
  type Budget,
  type BudgetWindow,
  copyOfChosen,
  isPerChosen,
  otherCopy,
  splitTag,
  tagOf,
  tagOfPer,
  type UsageRecordedData,
} from '@sluice/contracts'

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

/** The budgets a call counts against. Of what callers choose, the copy is the value, whether it has one of its own or not. */
export function matchingCopies(event: UsageRecordedData, budgets: Iterable<Budget>): BudgetCopy[] {
  const { identity, claimed } = event
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
    app: copyOfChosen(claimed.app),
    session: copyOfChosen(claimed.session_id),
    agent: copyOfChosen(claimed.agent_id),
  }
  const isIn = ([name, value]: [string, string | undefined]) => {
    if (name !== 'tag' || value === undefined) return dimensions[name] === value
    const tag = splitTag(value)
    return tagOf(claimed.tags, tag.name) === tag.value
  }
  const copies: BudgetCopy[] = []
  for (const budget of budgets) {
    if (budget.account_id !== identity.account_id) continue
    if (!Object.entries(budget.scope).every(isIn)) continue
    const tag = tagOfPer(budget.per)
    const copy =
      budget.per === undefined
        ? ''
        : tag === undefined
          ? dimensions[budget.per]
          : copyOfChosen(tagOf(claimed.tags, tag))
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
    const window = currentOf(windowOf(budget, copy), nowMs) ?? sharedOf(budget, windowOf, nowMs)
    const left = budget.limit - (window ? window.spent + window.held : 0)
    if (tightest === undefined || left * tightest.limit < tightest.left * budget.limit)
      tightest = { name: budget.name, unit: budget.unit, left, limit: budget.limit }
  }
  return tightest
}

function currentOf(window: BudgetWindow | undefined, nowMs: number): BudgetWindow | undefined {
  return window !== undefined && (window.window_end_ms ?? Infinity) > nowMs ? window : undefined
}

/** The window of all that have none of their own: of a value that may still get one it says nothing. */
function sharedOf(
  budget: Budget,
  windowOf: (budget: Budget, copy: string) => BudgetWindow | undefined,
  nowMs: number,
): BudgetWindow | undefined {
  const shared = isPerChosen(budget) ? currentOf(windowOf(budget, otherCopy), nowMs) : undefined
  return shared?.full ? shared : undefined
}
