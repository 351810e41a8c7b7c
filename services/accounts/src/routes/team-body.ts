import { Id, lineOfText, SeatBudget, Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import type { TeamRequest } from '../create-team.ts'
import { DisplayName, ModelPattern } from './route-schemas.ts'

export const CostCentre = Type.String({ minLength: 1, maxLength: 64, pattern: `^(?=.*\\S)${lineOfText.slice(1)}` })

/** A whole team; what is not sent is not set. */
export const TeamBody = Type.Object(
  {
    name: DisplayName,
    owner_id: Type.Optional(Type.Union([Type.Null(), Id])),
    cost_centre: Type.Optional(Type.Union([Type.Null(), CostCentre])),
    allowed_models: Type.Optional(Type.Union([Type.Null(), Type.Array(ModelPattern, { maxItems: 200 })])),
    seat_budget: Type.Optional(Type.Union([Type.Null(), SeatBudget])),
  },
  { additionalProperties: false },
)

export function toTeamRequest(body: Static<typeof TeamBody>): TeamRequest {
  const { name, owner_id, cost_centre, allowed_models, seat_budget } = body
  return {
    name,
    ownerId: owner_id ?? null,
    costCentre: cost_centre ?? null,
    allowedModels: allowed_models ?? null,
    seatBudget: seat_budget ?? null,
  }
}
