import type { Team as TeamDocument } from '@sluice/contracts'
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
