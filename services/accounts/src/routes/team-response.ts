import { Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { Team } from '../team-store.ts'

export const TeamResponse = Type.Object({ id: Type.String(), name: Type.String(), created_at: Type.String() })

export function toTeamResponse(team: Team): Static<typeof TeamResponse> {
  return { id: team.team_id, name: team.name, created_at: team.created_at.toISOString() }
}
