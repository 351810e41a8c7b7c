import { type Cutoff, cutoffKey, type UsageAdjustedData, type UsageRecordedData } from '@sluice/contracts'
import type { windowAt } from '@sluice/leases'
import { type Transaction, together, type WithCommit } from '@sluice/postgres'
import type { SpentWindow } from './alerts/fire-alerts-store.ts'
import {
  type BudgetParent,
  type Counted,
  type CountedBudget,
  spentIn,
  sumByWindow,
  type WindowState,
  type WindowSum,
  windowKey,
} from './budget.ts'
import { fromRow, lockParentsForUsage, selectBudgetsUnder } from './budget-store.ts'
import { decideCrossings } from './cross-limits-store.ts'
import type { BudgetTables } from './db/schema.ts'
import type { DeadLetter } from './dead-letter-store.ts'
import { type ResolvedHold, resolveHolds } from './homes/resolved-hold-store.ts'
import { takeSettlements } from './settlement-store.ts'
import { adjustFact, factOf, type SpendFact } from './spend-fact.ts'
import { insertFacts, lockFacts, updateFact } from './spend-fact-store.ts'
import { tellApart } from './told-apart-store.ts'
import { addToWindows } from './window-store.ts'

/** An adjustment with what is put aside in its place where its event is not kept here. */
export type PlacedAdjustment = UsageAdjustedData & { letter: DeadLetter }

/** What counting has changed, for whoever tells others after the commit. */
export interface CountedSpend {
  /** New versions of cutoffs, to be pushed. */
  cutoffs: Cutoff[]
  /** Budget copies whose sums have changed. */
  copies: { budgetId: string; copy: string }[]
  /** Adjustments that cannot be applied. */
  letters: DeadLetter[]
}

/** Counts events and adjustments: facts → sums of windows → crossings. Whether they are new to their series is known already. */
export async function countSpend(
  { trx, withCommit }: { trx: Transaction<BudgetTables>; withCommit: WithCommit },
  events: readonly UsageRecordedData[],
  adjustments: readonly PlacedAdjustment[],
  findWindow: typeof windowAt,
  nowMs: number,
): Promise<CountedSpend> {
  if (events.length === 0 && adjustments.length === 0) return { cutoffs: [], copies: [], letters: [] }
  const parents = parentsOf([
    ...events.map(({ identity }) => ({ accountId: identity.account_id, projectId: identity.project_id })),
    ...adjustments.map(({ account_id: accountId, project_id: projectId }) => ({ accountId, projectId })),
  ])
  const { fresh, budgets } = await countEvents(trx, parents, events, nowMs)
  const { counted: differences, letters, resolved } = await countAdjustments(trx, adjustments)
  const counted = [...fresh, ...differences].filter(isCounted)
  const sums = await tellApart(trx, budgets, sumByWindow(budgets, counted, findWindow), nowMs)
  const freed = await resolveHolds(trx, resolved, sums, nowMs)
  if (sums.length === 0) return { cutoffs: [], copies: freed, letters }
  const windows = await addToWindows(trx, sums, nowMs)
  const byId = new Map(budgets.map(budget => [budget.budget_id, budget]))
  const suspects = findSuspects(byId, sums, windows)
  const spent = spentBy(byId, sums, windows)
  const { cutoffs, writes } = await decideCrossings(trx, byId, { suspects, spent }, nowMs)
  withCommit(writes)
  return { cutoffs, copies: [...freed, ...windows.map(({ budgetId, copy }) => ({ budgetId, copy }))], letters }
}

/** Each once: the projects, and their accounts, whose budgets span projects. */
function parentsOf(projects: readonly BudgetParent[]): BudgetParent[] {
  const parents = new Map<string, BudgetParent>()
  for (const { accountId, projectId } of projects) {
    parents.set(accountId, { accountId, projectId: undefined })
    if (projectId !== undefined) parents.set(projectId, { accountId, projectId })
  }
  return [...parents.values()]
}

/** Facts of events that were never counted before, under any series or settlement, and the budgets of their parents, which stay. */
async function countEvents(
  trx: Transaction<BudgetTables>,
  parents: readonly BudgetParent[],
  events: readonly UsageRecordedData[],
  nowMs: number,
): Promise<{ fresh: Counted[]; budgets: CountedBudget[] }> {
  const wanted = events.flatMap(event =>
    event.settlement_key === undefined
      ? []
      : [{ projectId: event.identity.project_id, settlementKey: event.settlement_key, eventId: event.event_id }],
  )
  // First of all in every transaction, so that none of two that want the same settlement waits for the other in a circle.
  const lock = lockParentsForUsage(parents)
  const [, taken] = wanted.length === 0 ? [] : await together(trx, [lock, takeSettlements(wanted, nowMs)])
  const settled = new Set(taken?.map(row => row.event_id))
  const facts = new Map<string, SpendFact>()
  for (const event of events) {
    if (event.settlement_key === undefined || settled.has(event.event_id)) facts.set(event.event_id, factOf(event))
  }
  // Locked twice is locked once.
  const [, rows, budgets] = await together(trx, [lock, insertFacts([...facts.values()]), selectBudgetsUnder(parents)])
  const inserted = new Set(rows.map(row => row.event_id))
  return {
    fresh: [...facts.values()]
      .filter(fact => inserted.has(fact.eventId))
      .map(fact => ({ ...fact, heldBy: fact.held.budgets })),
    budgets: budgets.map(fromRow),
  }
}

/** Facts brought to their newest version, and the differences. One of an event that is not kept is a dead letter. */
async function countAdjustments(
  trx: Transaction<BudgetTables>,
  adjustments: readonly PlacedAdjustment[],
): Promise<{ counted: Counted[]; letters: DeadLetter[]; resolved: ResolvedHold[] }> {
  const facts = await lockFacts(trx, adjustments)
  const resolved: ResolvedHold[] = []
  const counted: Counted[] = []
  const letters: DeadLetter[] = []
  for (const adjustment of adjustments) {
    const fact = facts.get(adjustment.event_id)
    if (!fact) {
      letters.push({ ...adjustment.letter, reason: 'adjusts an event that is not kept here' })
      continue
    }
    const adjusted = adjustFact(fact, adjustment)
    if (!adjusted) continue
    facts.set(adjustment.event_id, adjusted.fact)
    await updateFact(trx, adjusted.fact)
    // Leases have settled what was recorded; what changes it counts as usage that names none.
    counted.push({ dimensions: fact.dimensions, admittedAtMs: fact.admittedAtMs, amounts: adjusted.difference })
    // Another price says nothing of what was used.
    if (!adjustment.measured) continue
    for (const leaseId of fact.held.unresolvedLeases) resolved.push({ leaseId, attemptId: fact.eventId })
  }
  return { counted, letters, resolved }
}

/** Windows that may have crossed their limit. One below it that has only grown cannot be cut: most batches have none. */
function findSuspects(
  budgets: ReadonlyMap<string, CountedBudget>,
  added: readonly WindowSum[],
  windows: readonly WindowState[],
): WindowState[] {
  const lowered = new Set(added.filter(sum => sum.amount < 0n).map(sum => cutoffKey(sum.budgetId, sum.copy)))
  return windows.filter(window => {
    const budget = budgets.get(window.budgetId)
    if (!budget || budget.mode === 'alert') return false
    return spentIn(window) >= BigInt(budget.limit) || lowered.has(cutoffKey(window.budgetId, window.copy))
  })
}

/** Windows with what they had spent before. */
function spentBy(
  budgets: ReadonlyMap<string, CountedBudget>,
  added: readonly WindowSum[],
  windows: readonly WindowState[],
): SpentWindow[] {
  const keyOf = ({ budgetId, copy, window }: WindowSum) => windowKey(budgetId, copy, window.startMs)
  const amounts = new Map(added.map(sum => [keyOf(sum), sum.amount]))
  return windows.flatMap(window => {
    const budget = budgets.get(window.budgetId)
    return budget ? [{ budget, window, spentBefore: spentIn(window) - (amounts.get(keyOf(window)) ?? 0n) }] : []
  })
}

function isCounted({ amounts }: Counted): boolean {
  return amounts.nanoUsd !== 0 || amounts.tokens !== 0 || amounts.requests !== 0
}
