import type { Kysely } from '@sluice/postgres'
import type { Actor } from './audit-store.ts'
import { type CountedBudget, type QuotaKind, quotaExceptions, quotaOf } from './budget.ts'
import {
  type BudgetChange,
  type BudgetDraft,
  putBegunAnew,
  putChanged,
  putDeleted,
  putNew,
  withSeats,
} from './budget-change-store.ts'
import type { Rest } from './budget-management-store.ts'
import { listBudgetsUnder } from './budget-store.ts'
import { changeUnder } from './change-under-store.ts'
import type { BudgetTables } from './db/schema.ts'

/** Who sets quotas of which project, and when. */
export interface QuotaChange {
  accountId: string
  projectId: string
  by: Actor
  atMs: number
  newId: () => string
}

/** What the routes ask of the store. */
export interface QuotaManagement {
  /** What everybody of a kind gets by default. Undefined: no quota. */
  setDefault: (...args: Rest<Parameters<typeof setDefaultQuota>>) => Promise<void>
  /** What somebody gets in the place of that. Undefined: nothing of their own any more. */
  setOwn: (...args: Rest<Parameters<typeof setOwnQuota>>) => Promise<void>
  /** Lets somebody begin anew: what they have spent this month counts no more. @returns false where they have no quota */
  reset: (...args: Rest<Parameters<typeof resetQuota>>) => Promise<boolean>
}

/** @param onChange told of each change right after its commit */
export function manageQuotas(db: Kysely<BudgetTables>, onChange: (change: BudgetChange) => void): QuotaManagement {
  const tell = (changes: readonly BudgetChange[]) => {
    for (const change of changes) onChange(change)
  }
  return {
    setDefault: async (...args) => tell(await setDefaultQuota(db, ...args)),
    setOwn: async (...args) => tell(await setOwnQuota(db, ...args)),
    reset: async (...args) => {
      const changes = await resetQuota(db, ...args)
      tell(changes)
      return changes.length > 0
    },
  }
}

function setDefaultQuota(
  db: Kysely<BudgetTables>,
  change: QuotaChange,
  kind: QuotaKind,
  limit: number | undefined,
): Promise<BudgetChange[]> {
  return changeQuotas(db, change, async (trx, budgets) => {
    const known = budgets.find(budget => budget.quotaOf === kind)
    if (limit === undefined) return known ? [await putDeleted(trx, known, change.by, change.atMs)] : []
    if (known) return known.ownLimit === limit ? [] : [await putChanged(trx, known, { limit }, change.by, change.atMs)]
    const draft: BudgetDraft = {
      ...draftOf(change, limit),
      name: kind === 'member' ? 'Monthly quota of each member' : 'Monthly quota of each service account',
      scope: { project: change.projectId },
      per: kind,
      except: quotaExceptions(kind, budgets),
      quotaOf: kind,
    }
    return [await putNew(trx, draft, 'window', change.by)]
  })
}

/** Whose quota is asked for or changed. */
export interface QuotaSubject {
  kind: QuotaKind
  id: string
}

function setOwnQuota(
  db: Kysely<BudgetTables>,
  change: QuotaChange,
  subject: QuotaSubject,
  limit: number | undefined,
): Promise<BudgetChange[]> {
  return changeQuotas(db, change, async (trx, budgets) => {
    const [known, ...others] = budgets.filter(budget => isOwn(budget, subject))
    const changes: BudgetChange[] = []
    if (limit === undefined) {
      for (const budget of known ? [known, ...others] : [])
        changes.push(await putDeleted(trx, budget, change.by, change.atMs))
    } else if (!known) changes.push(await putNew(trx, ownDraft(change, subject, limit), 'window', change.by))
    else if (known.ownLimit !== limit) changes.push(await putChanged(trx, known, { limit }, change.by, change.atMs))
    return withExceptions(trx, changes, change)
  })
}

function resetQuota(db: Kysely<BudgetTables>, change: QuotaChange, subject: QuotaSubject): Promise<BudgetChange[]> {
  return changeQuotas(db, change, async (trx, budgets) => {
    const own = budgets.filter(budget => isOwn(budget, subject)).map(budget => ({ budget, copy: '' }))
    const ofAll = budgets.find(budget => budget.quotaOf === subject.kind)
    const met = own.length > 0 || !ofAll ? own : [{ budget: ofAll, copy: subject.id }]
    const changes: BudgetChange[] = []
    for (const { budget, copy } of met) changes.push(await putBegunAnew(trx, budget, copy, change.by, change.atMs))
    return changes
  })
}

type Transacting = Parameters<typeof putNew>[0]

function changeQuotas(
  db: Kysely<BudgetTables>,
  { accountId, projectId }: QuotaChange,
  work: (trx: Transacting, budgets: CountedBudget[]) => Promise<BudgetChange[]>,
): Promise<BudgetChange[]> {
  const parent = { accountId, projectId }
  return changeUnder(db, parent, async trx => work(trx, await listBudgetsUnder(trx, [parent])))
}

/** The quota of all is met by those alone who have none of their own. */
async function withExceptions(
  trx: Transacting,
  changes: readonly BudgetChange[],
  { by, atMs }: QuotaChange,
): Promise<BudgetChange[]> {
  const done: BudgetChange[] = []
  for (const change of changes) done.push(await withSeats(trx, change, by, atMs))
  return done
}

function isOwn(budget: CountedBudget, { kind, id }: QuotaSubject): boolean {
  const quota = quotaOf(budget)
  return quota?.kind === kind && quota.id === id
}

function ownDraft(change: QuotaChange, { kind, id }: QuotaSubject, limit: number): BudgetDraft {
  const scope = { project: change.projectId, [kind]: id }
  return { ...draftOf(change, limit), name: 'Monthly quota', scope }
}

function draftOf({ accountId, projectId, atMs, newId }: QuotaChange, limit: number) {
  return {
    budget_id: newId(),
    version: 1,
    account_id: accountId,
    unit: 'usd' as const,
    limit,
    window: 'month' as const,
    time_zone: 'UTC',
    // Soft ones count what is spent already: of nothing, the first call would have to be let through.
    mode: 'hard' as const,
    on_unknown: 'deny' as const,
    created_at_ms: atMs,
    projectId,
    thresholds: [],
    forecastAlert: false,
  }
}
