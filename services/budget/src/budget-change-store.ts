import { isDeepStrictEqual } from 'node:util'
import { Budget, type Cutoff, cutoffKey, isPerChosen } from '@sluice/contracts'
import { homeOfBudget, windowAt } from '@sluice/leases'
import { enqueue, type Kysely, type OutboxEntry, type Transaction, together } from '@sluice/postgres'
import { toDocumentAmount } from './amount.ts'
import { type Actor, type AuditAction, insertAuditEntry } from './audit-store.ts'
import {
  type BudgetParent,
  type CountedBudget,
  exceptionsOf,
  parentOf,
  quotaExceptions,
  quotaOf,
  seatOf,
  type WindowState,
} from './budget.ts'
import {
  findBudget,
  insertBudget,
  listBudgetsUnder,
  markBudgetDeleted,
  toAudited,
  toDocument,
  updateBudget,
} from './budget-store.ts'
import { changeUnder } from './change-under-store.ts'
import { closeRequests } from './close-requests-store.ts'
import { crossLimits } from './cross-limits-store.ts'
import { liftCutoff } from './cutoff.ts'
import { listActiveCutoffs, saveCutoff } from './cutoff-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { budgetNotFound, budgetOfTeam, sharedBudgetMissing, tooManyBudgets } from './errors.ts'
import { listOpenLeases, type OpenLease } from './homes/home-store.ts'
import { lockHomes, type OwnedHome } from './homes/ownership-store.ts'
import { claimMaking, type MakingOnce } from './made-once-store.ts'
import { unboundedBudgets } from './shared-above.ts'
import { sumFacts } from './spend-fact-store.ts'
import { tellApart } from './told-apart-store.ts'
import { addToWindows, forgiveSpent, listOpenWindows } from './window-store.ts'

/** A change as it was committed, and what must be told at once. */
export interface BudgetChange {
  budget: CountedBudget
  cutoffs: Cutoff[]
  copies: { budgetId: string; copy: string }[]
  /** Leases of which idle money is to come back: less is to be spent now. */
  recall: Recall | undefined
  /** Requests for more of it that were declined with its deletion. */
  closedRequests?: readonly string[]
}

export interface Recall {
  owned: OwnedHome
  leases: OpenLease[]
}

/** Every call of a project is matched against all of its budgets, and every call of an account against those that span projects. */
const mostBudgetsOfParent = 500

/** A budget that is to be made. */
export type BudgetDraft = Omit<CountedBudget, 'countsFromMs' | 'ownLimit'>

/**
 * Makes a budget and counts what its window has spent already. Usage of its parent waits meanwhile, so that no event is
 * counted twice or not at all.
 */
export function createBudget(
  db: Kysely<BudgetTables>,
  draft: BudgetDraft,
  startsAt: 'window' | 'now',
  actor: Actor,
  once?: MakingOnce,
): Promise<BudgetChange> {
  const parent = parentOf(draft)
  return changeUnder(db, parent, async trx => {
    const first = once && (await claimMaking(trx, once, draft.budget_id, draft.created_at_ms))
    if (first !== undefined && first !== draft.budget_id) return unchanged(await findBudget(trx, parent, first))
    const others = await listBudgetsUnder(trx, [parent])
    if (others.filter(({ seatTeamId }) => seatTeamId === undefined).length >= mostBudgetsOfParent)
      throw tooManyBudgets(mostBudgetsOfParent)
    return withSeats(trx, await putNew(trx, draft, startsAt, actor), actor, draft.created_at_ms)
  })
}

/** Writes a new budget; its parent is locked. */
export async function putNew(
  trx: Transaction<BudgetTables>,
  draft: BudgetDraft,
  startsAt: 'window' | 'now',
  actor: Actor,
): Promise<BudgetChange> {
  const nowMs = draft.created_at_ms
  const window = windowAt(draft.window, draft.time_zone, nowMs)
  const budget: CountedBudget = {
    ...draft,
    ownLimit: draft.limit,
    countsFromMs: startsAt === 'now' ? nowMs : window.startMs,
  }
  await insertBudget(trx, budget)
  if (isPerChosen(budget)) await requireBounded(trx, budget)
  const spent = startsAt === 'now' ? [] : await sumFacts(trx, budget, window)
  const sums = spent.map(({ copy, amount }) => ({ budgetId: budget.budget_id, copy, window, amount }))
  const windows = await addToWindows(trx, await tellApart(trx, [budget], sums, nowMs), nowMs)
  return finish(trx, { actor, action: 'created', before: undefined, budget, windows, nowMs })
}

/** It was made before, by the same request. @throws AppError 404 where it is deleted meanwhile */
export function unchanged(budget: CountedBudget | undefined): BudgetChange {
  if (!budget) throw budgetNotFound()
  return { budget, cutoffs: [], copies: [], recall: undefined }
}

type ChangeableOfBudget = Partial<
  Pick<CountedBudget, 'name' | 'limit' | 'mode' | 'hold' | 'on_unknown' | 'thresholds' | 'forecastAlert'>
>

/** What the seats of a team have is said by the team; what people are told of it is said here. */
const saidOfSeats: ReadonlySet<string> = new Set(['thresholds', 'forecastAlert'])

/** Changes what may change: name, limit, mode, hold, on_unknown, alerts. No lease is granted meanwhile. A cutoff is lifted or begins in the same transaction. */
export function changeBudget(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  budgetId: string,
  change: ChangeableOfBudget,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  return changeUnder(db, parent, async trx => {
    const before = await findBudget(trx, parent, budgetId)
    if (!before) throw budgetNotFound()
    if (before.seatTeamId !== undefined && !Object.keys(change).every(name => saidOfSeats.has(name)))
      throw budgetOfTeam()
    return withSeats(trx, await putChanged(trx, before, change, actor, nowMs), actor, nowMs)
  })
}

/** Writes a change of a budget; its parent is locked. */
export function putChanged(
  trx: Transaction<BudgetTables>,
  before: CountedBudget,
  change: ChangeableOfBudget,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  const { limit: ownLimit = before.ownLimit } = change
  const limit = ownLimit + before.limit - before.ownLimit
  const after = { ...before, ...change, ownLimit, limit }
  return putInForce(trx, { actor, action: 'changed', before, budget: after, nowMs })
}

/** Deletes a budget: it matches nothing any more, and its cutoffs are lifted. */
export function deleteBudget(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  budgetId: string,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  return changeUnder(db, parent, async trx => {
    const budget = await findBudget(trx, parent, budgetId)
    if (!budget) throw budgetNotFound()
    if (budget.seatTeamId !== undefined) throw budgetOfTeam()
    return withSeats(trx, await putDeleted(trx, budget, actor, nowMs), actor, nowMs)
  })
}

/** Deletes a budget; its parent is locked. */
export async function putDeleted(
  trx: Transaction<BudgetTables>,
  budget: CountedBudget,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  const { budget_id: budgetId } = budget
  const home = await lockHomeOf(trx, budget)
  await markBudgetDeleted(trx, budgetId, nowMs)
  if (budget.per === undefined) await requireBounded(trx, budget)
  const closedRequests = await closeRequests(trx, budget, actor, nowMs)
  const lifted = [...(await listActiveCutoffs(trx, [budgetId])).values()].map(cutoff => liftCutoff(cutoff, nowMs))
  await together(
    trx,
    lifted.map(cutoff => saveCutoff(trx, cutoff, false)),
  )
  const windows = await listOpenWindows(trx, [budgetId], nowMs)
  const gone = (target: string, key: string): OutboxEntry => ({ kind: 'kv-delete', target, key, payload: '' })
  await enqueue(trx, [
    ...lifted.map(cutoff => gone('cutoffs', cutoff.cutoff_id)),
    gone('budgets', budgetId),
    ...windows.map(window => gone('budget-windows', cutoffKey(budgetId, window.copy))),
  ])
  await insertAuditEntry(trx, {
    atMs: nowMs,
    actor,
    accountId: budget.account_id,
    projectId: budget.projectId,
    budgetId,
    action: 'deleted',
    before: toAudited(budget),
    after: undefined,
  })
  return { budget, cutoffs: lifted, copies: [], recall: await recallOf(trx, home, windows), closedRequests }
}

/** Lets one copy of a budget begin anew in its running window; its parent is locked. */
export async function putBegunAnew(
  trx: Transaction<BudgetTables>,
  budget: CountedBudget,
  copy: string,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  const { budget_id: budgetId, account_id: accountId, projectId } = budget
  await lockHomeOf(trx, budget)
  const { windows, forgiven } = await forgiveSpent(trx, { budgetId, copy }, nowMs)
  const cutoffs = await crossLimits(trx, new Map([[budgetId, budget]]), { suspects: windows, spent: [] }, nowMs)
  await insertAuditEntry(trx, {
    ...{ atMs: nowMs, actor, accountId, projectId, budgetId },
    action: 'begun-anew',
    before: undefined,
    after: { copy, forgiven: toDocumentAmount(forgiven) },
  })
  return { budget, cutoffs, copies: [{ budgetId, copy }], recall: undefined }
}

/** What follows for a budget of many from a change of one that is for one of them alone: it stands in the place of theirs, or no longer does. */
export async function withSeats(
  trx: Transaction<BudgetTables>,
  change: BudgetChange,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  return withQuotas(trx, await withTeamSeats(trx, change, actor, nowMs), actor, nowMs)
}

async function withQuotas(
  trx: Transaction<BudgetTables>,
  change: BudgetChange,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  // Also of one that is none any more: its mode has changed.
  const kind = quotaOf({ ...change.budget, mode: 'hard' })?.kind
  if (kind === undefined) return change
  const budgets = await listBudgetsUnder(trx, [parentOf(change.budget)])
  const before = budgets.find(each => each.quotaOf === kind)
  const except = quotaExceptions(kind, budgets)
  if (!before || isDeepStrictEqual(except, before.except ?? [])) return change
  const all = await putInForce(trx, { actor, action: 'changed', before, budget: { ...before, except }, nowMs })
  return { ...change, cutoffs: [...change.cutoffs, ...all.cutoffs], copies: [...change.copies, ...all.copies] }
}

async function withTeamSeats(
  trx: Transaction<BudgetTables>,
  change: BudgetChange,
  actor: Actor,
  nowMs: number,
): Promise<BudgetChange> {
  const teamId = seatOf(change.budget)?.teamId
  if (teamId === undefined) return change
  const budgets = await listBudgetsUnder(trx, [parentOf(change.budget)])
  const before = budgets.find(({ seatTeamId }) => seatTeamId === teamId)
  const except = before ? exceptionsOf(before, budgets) : []
  if (!before || isDeepStrictEqual(except, before.except ?? [])) return change
  const seats = await putInForce(trx, { actor, action: 'changed', before, budget: { ...before, except }, nowMs })
  return { ...change, cutoffs: [...change.cutoffs, ...seats.cutoffs], copies: [...change.copies, ...seats.copies] }
}

/** Writes the next version of a budget: told to gateways, cutoffs begun or lifted, what is less than before called back. */
export async function putInForce(
  trx: Transaction<BudgetTables>,
  change: {
    actor: Actor
    action: AuditAction
    before: CountedBudget
    budget: CountedBudget
    /** What the audit says instead of the budget. */
    note?: object
    nowMs: number
  },
): Promise<BudgetChange> {
  const { before, nowMs } = change
  const budget = { ...change.budget, version: before.version + 1 }
  const home = await lockHomeOf(trx, before)
  await updateBudget(trx, budget)
  if (budget.mode !== before.mode) await requireBounded(trx, budget)
  const windows = await listOpenWindows(trx, [budget.budget_id], nowMs)
  const isLess = budget.limit < before.limit || (before.mode === 'hard' && budget.mode !== 'hard')
  const recall = isLess ? await recallOf(trx, home, windows) : undefined
  return { ...(await finish(trx, { ...change, budget, windows })), recall }
}

/** @throws AppError 409 where a change leaves a budget for each of what callers choose without a shared one that bounds it */
async function requireBounded(trx: Transaction<BudgetTables>, changed: CountedBudget): Promise<void> {
  const [unbounded] = unboundedBudgets(await listBudgetsUnder(trx, [parentOf(changed)]))
  if (unbounded) throw sharedBudgetMissing(unbounded.name)
}

async function lockHomeOf(trx: Transaction<BudgetTables>, budget: CountedBudget): Promise<OwnedHome | undefined> {
  const [home] = await lockHomes(trx, [homeOfBudget(budget)])
  return home
}

async function recallOf(
  trx: Transaction<BudgetTables>,
  owned: OwnedHome | undefined,
  windows: readonly WindowState[],
): Promise<Recall | undefined> {
  // A home that nobody ever owned has granted nothing.
  if (!owned || owned.term === 0) return undefined
  const pools = windows.map(({ budgetId, copy, window }) => ({ budgetId, copy, windowStartMs: window.startMs }))
  const leases = await listOpenLeases(trx, owned.home, pools)
  return leases.length === 0 ? undefined : { owned, leases }
}

async function finish(
  trx: Transaction<BudgetTables>,
  change: {
    actor: Actor
    action: AuditAction
    before: CountedBudget | undefined
    budget: CountedBudget
    windows: WindowState[]
    note?: object
    nowMs: number
  },
): Promise<BudgetChange> {
  const { budget, windows, nowMs } = change
  const document = toDocument(budget)
  await enqueue(trx, [{ kind: 'kv-put', target: 'budgets', key: budget.budget_id, payload: Budget.encode(document) }])
  const spent = windows.map(window => ({ budget, window }))
  const cutoffs = await crossLimits(trx, new Map([[budget.budget_id, budget]]), { suspects: windows, spent }, nowMs)
  await insertAuditEntry(trx, {
    atMs: nowMs,
    actor: change.actor,
    accountId: budget.account_id,
    projectId: budget.projectId,
    budgetId: budget.budget_id,
    action: change.action,
    before: change.before && toAudited(change.before),
    after: change.note ?? toAudited(budget),
  })
  return { budget, cutoffs, copies: windows.map(({ budgetId, copy }) => ({ budgetId, copy })), recall: undefined }
}
