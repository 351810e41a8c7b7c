import type { SeatBudget, Team as TeamDocument } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { areModelsWithin } from './api-key.ts'
import { errors } from './errors.ts'
import type { Team } from './team-store.ts'

/** A team as gateways and budgets see it, within its project's document. */
export function toTeamDocument(team: Team): TeamDocument {
  return {
    team_id: team.team_id,
    name: team.name,
    ...(team.owner_member_id === null ? {} : { owner_member_id: team.owner_member_id }),
    ...(team.allowed_models === null ? {} : { allowed_models: team.allowed_models }),
    ...(team.seat_budget === null ? {} : { seat_budget: team.seat_budget }),
  }
}

/** What the audit trail says of a team. */
export function auditedTeam(team: Team) {
  const { name, owner_member_id, cost_centre, allowed_models, seat_budget } = team
  return { name, owner_id: owner_member_id, cost_centre, allowed_models, seat_budget }
}

/**
 * Requires of who changes what seats of a team get that they may say what is spent: teams are managed by people who may sit in
 * them. @throws AppError 403
 */
export function requireSeatBudget(before: SeatBudget | null, after: SeatBudget | null, mayBudget: boolean): void {
  if (mayBudget || isSame(before, after)) return
  throw errorOf(errors.forbidden, {
    message: 'To change what seats get takes budgets:write. Send seat_budget as it is, or ask a project admin.',
  })
}

/**
 * Requires of who lets people of a team call more models than before that they may say what is called: teams are managed by
 * people who may sit in them. @throws AppError 403
 */
export function requireTeamModels(
  before: readonly string[] | null,
  after: readonly string[] | null,
  mayModels: boolean,
): void {
  if (mayModels || areModelsWithin(after, before)) return
  throw errorOf(errors.forbidden, {
    message: 'To allow a team more models takes models:write. Send allowed_models as it is, or ask a project admin.',
  })
}

function isSame(one: SeatBudget | null, other: SeatBudget | null): boolean {
  return (['amount_nano_usd', 'window', 'time_zone', 'mode'] as const).every(name => one?.[name] === other?.[name])
}
