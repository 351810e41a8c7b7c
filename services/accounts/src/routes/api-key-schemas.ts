import { Id, linesOfText, Role, rolePermissions, Type } from '@sluice/contracts'
import { errorOf, problemOfIpRange } from '@sluice/runtime'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { callerOf, ownLimits } from '../access.ts'
import { type KeyLimits, requireWithin } from '../api-key.ts'
import type { ApiKeySummary } from '../api-key-store.ts'
import type { AppDeps } from '../app.ts'
import type { Change } from '../change-store.ts'
import { createApiKey, createForeignKey } from '../create-api-key.ts'
import { errors, notFound } from '../errors.ts'
import { DisplayName, isUuid, ModelPattern } from './route-schemas.ts'

export const ApiKeysPath = '/accounts/projects/:pid/api-keys'

const orNull = <Schema extends Parameters<typeof Type.Array>[0]>(schema: Schema) => Type.Union([Type.Null(), schema])
const Models = orNull(Type.Array(ModelPattern, { maxItems: 1000 }))
/** CIDR notation, or single addresses. */
const IpRanges = orNull(Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { maxItems: 100 }))
/** RFC 3339. */
const Time = orNull(Type.String({ format: 'date-time' }))
const Description = orNull(Type.String({ maxLength: 1024, pattern: linesOfText }))

/** What a new key may be given, whoever owns it. */
export const newKeyFields = {
  name: DisplayName,
  description: Type.Optional(Description),
  role: Type.Optional(Role),
  models: Type.Optional(Models),
  ip_ranges: Type.Optional(IpRanges),
  team_id: Type.Optional(orNull(Id)),
  expires_at: Type.Optional(Time),
  /** SHA-256, hex, of a key that another system has given out. */
  foreign_sha256: Type.Optional(Type.String({ pattern: '^[0-9A-Fa-f]{64}$' })),
}
const NewKeyBody = Type.Object(newKeyFields)

/** What may be set of a key that exists; what is not sent stays. */
export const ChangedKeyBody = Type.Object(
  {
    name: Type.Optional(DisplayName),
    description: Type.Optional(Description),
    models: Type.Optional(Models),
    ip_ranges: Type.Optional(IpRanges),
    team_id: Type.Optional(orNull(Id)),
    expires_at: Type.Optional(Time),
  },
  { additionalProperties: false },
)

/** The answer to a creation; `value` is that of a key made here. */
export const CreatedKey = Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  value: Type.Optional(Type.String()),
})

const NullableString = Type.Union([Type.String(), Type.Null()])
export const ApiKeyResponse = Type.Object({
  id: Type.String(),
  project_id: Type.String(),
  kind: Type.Union([Type.Literal('key'), Type.Literal('foreign'), Type.Literal('system')]),
  name: Type.String(),
  description: Type.String(),
  role: Role,
  team_id: NullableString,
  member_id: NullableString,
  service_account_id: NullableString,
  models: Type.Union([Type.Array(Type.String()), Type.Null()]),
  ip_ranges: Type.Union([Type.Array(Type.String()), Type.Null()]),
  created_by: Type.String(),
  created_at: Type.String(),
  expires_at: NullableString,
  last_used_at: NullableString,
  secrets: Type.Array(Type.Object({ id: Type.String(), created_at: Type.String(), expires_at: NullableString })),
})

export function toApiKeyResponse(key: ApiKeySummary): Static<typeof ApiKeyResponse> {
  const { key_id, created_at, expires_at, last_used_at, secrets, ...rest } = key
  return {
    id: key_id,
    ...rest,
    created_at: created_at.toISOString(),
    expires_at: expires_at?.toISOString() ?? null,
    last_used_at: last_used_at?.toISOString() ?? null,
    secrets: secrets.map(secret => ({
      id: secret.secret_id,
      created_at: secret.created_at.toISOString(),
      expires_at: secret.expires_at?.toISOString() ?? null,
    })),
  }
}

/** The id of a key as a path names it. @throws AppError 404 for what is none */
export function keyIdOf(id: string): string {
  if (!isUuid(id)) throw notFound()
  return id
}

/** @throws AppError 400 for a range that is none */
export function requireIpRanges(ranges: readonly string[] | null | undefined): void {
  for (const range of ranges ?? []) {
    const problem = problemOfIpRange(range)
    if (problem !== undefined) throw errorOf(errors.invalidRequest, { message: `ip_ranges: ${range} ${problem}.` })
  }
}

/** @throws AppError 400 for a time that has passed */
export function readEnd(text: string | null, nowMs: number): Date | null {
  if (text === null) return null
  const end = new Date(text)
  if (!(end.getTime() > nowMs))
    throw errorOf(errors.invalidRequest, { message: 'expires_at must be a time in the future.' })
  return end
}

/** Of a key whose role is not said: that of developers, but for who has less themselves. */
function defaultRole({ permissions }: KeyLimits): Role {
  const held = new Set(permissions)
  return rolePermissions.developer.every(permission => held.has(permission)) ? 'developer' : 'member'
}

/**
 * Checks the request for a key, and says how it is made.
 * @throws AppError 400, 403 where it would be more than the caller's own
 */
export function readNewKey(
  deps: AppDeps,
  request: FastifyRequest,
  body: Static<typeof NewKeyBody>,
  owner: { projectId: string; memberId: string | null; serviceAccountId: string | null },
): (change: Change) => Promise<Static<typeof CreatedKey>> {
  const { name, models = null, ip_ranges: ipRanges = null, team_id: teamId = null, foreign_sha256: foreign } = body
  const description = body.description ?? ''
  if (foreign !== undefined && body.role !== undefined && body.role !== 'member')
    throw errorOf(errors.invalidRequest, { message: 'A foreign key makes calls alone: leave role out.' })
  const own = ownLimits(request)
  const role = body.role ?? (foreign === undefined ? defaultRole(own) : 'member')
  const expiresAt = readEnd(body.expires_at ?? null, deps.now())
  requireIpRanges(ipRanges)
  requireWithin(
    {
      permissions: rolePermissions[role],
      models: models ?? undefined,
      ipRanges: ipRanges ?? undefined,
      expiresAtMs: expiresAt?.getTime(),
    },
    own,
  )
  const createdBy = callerOf(request).principal.id
  const wanted = { ...owner, teamId, name, description, role, models, ipRanges, expiresAt, createdBy }
  return async change => {
    if (foreign !== undefined) {
      const { keyId } = await createForeignKey(change, foreign.toLowerCase(), wanted)
      return { id: keyId, name, description }
    }
    const { keyId, value } = await createApiKey(change, deps.box, wanted)
    return { id: keyId, name, description, value }
  }
}
