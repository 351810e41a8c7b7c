import { Type } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { Static } from 'typebox'
import { coversModel } from './api-key.ts'
import { errors } from './errors.ts'
import { isStorable } from './storable-json.ts'

const LlmScope = Type.Object(
  {
    /** `provider/model`, trailing `*` allowed. Absent: every model that the project allows; none named: none. */
    models: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String({ maxLength: 200 }), { maxItems: 100 })])),
  },
  { additionalProperties: true },
)

/**
 * What somebody may do in a room, as the scope of the API stands in a token: a surface that is not named is closed. Sluice acts
 * on `llm`; the rest is kept and stands in their tokens.
 */
export const RoomPermissions = Type.Object(
  { llm: Type.Optional(Type.Union([Type.Null(), LlmScope])) },
  { additionalProperties: true, maxProperties: 64 },
)
export type RoomPermissions = Static<typeof RoomPermissions> & Record<string, unknown>

/** As what somebody is in a room, as tokens say it; who has none is a user. */
export const ParticipantRole = Type.Union([Type.Literal('user'), Type.Literal('agent'), Type.Literal('tool')])
export type ParticipantRole = Static<typeof ParticipantRole>

/** Tokens hold at most 16 kB, and carry these. */
const maxBytes = 8_192

/** @throws AppError 400 for what no token could carry */
export function checkRoomPermissions(permissions: RoomPermissions): RoomPermissions {
  if (!isStorable(permissions) || Buffer.byteLength(JSON.stringify(permissions)) > maxBytes)
    throw errorOf(errors.invalidRequest, {
      message: `permissions must be at most ${maxBytes} bytes, without NUL characters or halves of surrogate pairs.`,
    })
  return permissions
}

/** The models that permissions open: undefined: all that the project allows; an empty list: none. */
export function modelsOfGrant({ llm }: RoomPermissions): readonly string[] | undefined {
  if (!llm) return []
  return llm.models ?? undefined
}

/** What tokens of somebody say who has no permissions of their own in a room: Sluice opens nothing beside models. */
export const unlimited: RoomPermissions = { llm: {} }

/** The scope of a token for a room: what is granted there, without models for whoever may not call any. */
export function scopeInRoom(permissions: RoomPermissions, mayCall: boolean): Record<string, unknown> {
  const { llm, ...rest } = permissions
  return mayCall && llm ? { ...rest, llm } : rest
}

/**
 * Refuses a token for a room beyond what its member may do there.
 * @param scope as the token says it
 * @param models of the token: undefined: none; null: all that the project allows
 * @throws AppError 403
 */
export function requireWithinGrant(
  permissions: RoomPermissions,
  scope: Readonly<Record<string, unknown>>,
  models: readonly string[] | null | undefined,
): void {
  const opened = Object.keys(permissions).filter(name => permissions[name] != null)
  const surfaces = Object.keys(scope).every(name => scope[name] == null || opened.includes(name))
  const granted = modelsOfGrant(permissions)
  const isWithin =
    models === undefined ||
    granted === undefined ||
    (models?.every(model => granted.some(pattern => coversModel(pattern, model))) ?? false)
  if (!surfaces || !isWithin)
    throw errorOf(errors.grantsTooMuch, {
      message: 'This is more than what is granted in the room. Ask for less, or have the grant changed.',
    })
}

/** What opens more than work in a room: Sluice acts on none of it, others who believe its tokens may. */
const privileged = ['admin', 'developer', 'secrets', 'tunnels']

/** Refuses a scope that opens what is privileged, where nobody has granted it. @throws AppError 403 */
export function requirePlainScope(scope: Readonly<Record<string, unknown>>): void {
  const asked = privileged.filter(name => scope[name] != null)
  if (asked.length > 0)
    throw errorOf(errors.grantsTooMuch, {
      message: `Who does not manage members gets a token that opens ${asked.join(', ')} for a room that grants it alone.`,
    })
}
