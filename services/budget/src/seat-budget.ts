import type { Budget, Project } from '@sluice/contracts'
import type { CountedBudget } from './budget.ts'

/** What each seat of a team gets: a budget of its own for every person whose calls the team pays for. */
export interface SeatBudgetOfTeam {
  teamId: string
  name: string
  limit: number
  window: Budget['window']
  timeZone: string
  mode: Budget['mode']
}

/** How the seat budgets of a project are to change. */
export interface SeatChanges {
  made: SeatBudgetOfTeam[]
  changed: { before: CountedBudget; to: SeatBudgetOfTeam }[]
  ended: CountedBudget[]
}

/** What the teams of a project say of their seats. */
export function seatBudgetsOf({ teams }: Pick<Project, 'teams'>): SeatBudgetOfTeam[] {
  return teams.flatMap(({ team_id: teamId, name, seat_budget: seat }) => {
    if (!seat) return []
    const { amount_nano_usd: limit, window, time_zone: timeZone = 'UTC', mode = 'soft' } = seat
    // A soft budget ends what has spent its limit, and with a limit of nothing the first call would have to be let through.
    const atOnce = limit === 0 && mode === 'soft'
    return [{ teamId, name: nameOf(name), limit, window, timeZone, mode: atOnce ? 'hard' : mode }]
  })
}

/** What differs from the budgets there are. A budget's window never changes: for another one it is another budget. */
export function compareSeats(wanted: readonly SeatBudgetOfTeam[], present: readonly CountedBudget[]): SeatChanges {
  const changes: SeatChanges = { made: [], changed: [], ended: [] }
  const byTeam = new Map(present.map(budget => [budget.seatTeamId, budget]))
  for (const to of wanted) {
    const before = byTeam.get(to.teamId)
    if (before?.window !== to.window || before.time_zone !== to.timeZone) {
      changes.made.push(to)
      continue
    }
    byTeam.delete(to.teamId)
    if (before.name !== to.name || before.ownLimit !== to.limit || before.mode !== to.mode)
      changes.changed.push({ before, to })
  }
  changes.ended.push(...byTeam.values())
  return changes
}

/** A name of a budget, 128 characters at most. */
function nameOf(team: string): string {
  return `Seats of ${team}`.slice(0, 128).replace(/[\ud800-\udbff]$/, '')
}
