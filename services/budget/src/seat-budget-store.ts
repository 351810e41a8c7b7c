import type { Project } from '@sluice/contracts'
import type { Kysely } from '@sluice/postgres'
import { defaultThresholds } from './alerts/threshold.ts'
import type { Actor } from './audit-store.ts'
import { type CountedBudget, exceptionsOf } from './budget.ts'
import { type BudgetChange, putChanged, putDeleted, putNew } from './budget-change-store.ts'
import { listBudgetsUnder, listSeatBudgets } from './budget-store.ts'
import { changeUnder } from './change-under-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { compareSeats, type SeatBudgetOfTeam, type SeatChanges, seatBudgetsOf } from './seat-budget.ts'

/** Who changed the team stands in the audit trail of accounts. */
const actor: Actor = { kind: 'service', id: 'accounts' }

/**
 * Makes the seat budgets of a project what its teams say, window by window counted from its begin. Nothing is locked or
 * written where they are that already.
 */
export async function settleSeatBudgets(
  db: Kysely<BudgetTables>,
  project: Project,
  newId: () => string,
  nowMs: number,
): Promise<BudgetChange[]> {
  const { project_id: projectId, account_id: accountId } = project
  const wanted = seatBudgetsOf(project)
  if (isNothing(compareSeats(wanted, await listSeatBudgets(db, projectId)))) return []
  return changeUnder(db, { accountId, projectId }, async trx => {
    const { made, changed, ended } = compareSeats(wanted, await listSeatBudgets(trx, projectId))
    const done: BudgetChange[] = []
    for (const budget of ended) done.push(await putDeleted(trx, budget, actor, nowMs))
    for (const { before, to } of changed) {
      const { name, limit, mode } = to
      done.push(await putChanged(trx, before, { name, limit, mode }, actor, nowMs))
    }
    const budgets = made.length === 0 ? [] : await listBudgetsUnder(trx, [{ accountId, projectId }])
    for (const seat of made)
      done.push(await putNew(trx, toDraft(project, seat, budgets, { budgetId: newId(), nowMs }), 'window', actor))
    return done
  })
}

function toDraft(
  project: Project,
  seat: SeatBudgetOfTeam,
  budgets: readonly CountedBudget[],
  { budgetId, nowMs }: { budgetId: string; nowMs: number },
) {
  const { project_id: projectId, account_id } = project
  const { teamId: seatTeamId, name, limit, window, timeZone, mode } = seat
  return {
    budget_id: budgetId,
    version: 1,
    name,
    account_id,
    scope: { project: projectId, team: seatTeamId },
    per: 'member' as const,
    except: exceptionsOf({ seatTeamId, window }, budgets),
    unit: 'usd' as const,
    limit,
    window,
    time_zone: timeZone,
    mode,
    on_unknown: 'deny' as const,
    created_at_ms: nowMs,
    projectId,
    seatTeamId,
    thresholds: defaultThresholds({ unit: 'usd', window, mode, per: 'member' }),
    forecastAlert: false,
  }
}

function isNothing({ made, changed, ended }: SeatChanges): boolean {
  return made.length + changed.length + ended.length === 0
}
