import { Id, lineOfText, SeatBudget, Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { Static } from 'typebox'
import type { TeamRequest } from '../create-team.ts'
import { errors } from '../errors.ts'
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

/** @throws AppError 400 for a time zone that is none */
export function toTeamRequest(body: Static<typeof TeamBody>): TeamRequest {
  const { name, owner_id, cost_centre, allowed_models, seat_budget } = body
  const timeZone = seat_budget?.time_zone
  if (timeZone !== undefined && !isTimeZone(timeZone))
    throw errorOf(errors.invalidRequest, {
      message: 'seat_budget.time_zone is no IANA name, such as "Europe/Berlin" or "UTC".',
    })
  return {
    name,
    ownerId: owner_id ?? null,
    costCentre: cost_centre ?? null,
    allowedModels: allowed_models ?? null,
    seatBudget: seat_budget ?? null,
  }
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined
  } catch {
    return false
  }
}
