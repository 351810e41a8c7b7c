import { SeatBudget, Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { TeamMember } from '../team-member-store.ts'
import type { Team } from '../team-store.ts'

const NullableString = Type.Union([Type.String(), Type.Null()])

export const TeamResponse = Type.Object({
  id: Type.String(),
  name: Type.String(),
  owner_id: NullableString,
  /** What it is booked on now. */
  cost_centre: NullableString,
  allowed_models: Type.Union([Type.Array(Type.String()), Type.Null()]),
  seat_budget: Type.Union([SeatBudget, Type.Null()]),
  created_at: Type.String(),
  closed_at: NullableString,
})

export function toTeamResponse(team: Team): Static<typeof TeamResponse> {
  return {
    id: team.team_id,
    name: team.name,
    owner_id: team.owner_member_id,
    cost_centre: team.cost_centre,
    allowed_models: team.allowed_models,
    seat_budget: team.seat_budget,
    created_at: team.created_at.toISOString(),
    closed_at: team.closed_at?.toISOString() ?? null,
  }
}

export const TeamMemberResponse = Type.Object({
  id: Type.String(),
  role: Type.Enum(['owner', 'member']),
  valid_from: Type.String(),
  valid_to: NullableString,
})

export function toTeamMemberResponse(member: TeamMember): Static<typeof TeamMemberResponse> {
  return {
    id: member.member_id,
    role: member.role,
    valid_from: member.valid_from.toISOString(),
    valid_to: member.valid_to?.toISOString() ?? null,
  }
}
