import type { Key, Permission } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import {
  maxTokenLength,
  type ParticipantClaims,
  signParticipantToken,
  TokenError,
  verifyParticipantToken,
} from '@sluice/runtime/participant-token'
import type { FastifyRequest } from 'fastify'
import { actorOf, callerOf, ownLimits } from './access.ts'
import { requireWithin } from './api-key.ts'
import type { AppDeps } from './app.ts'
import { errors, notFound } from './errors.ts'
import { findMemberByEmail, isMemberOfProject } from './member-store.ts'
import { effectiveSettings } from './project-settings.ts'
import { findProject } from './project-store.ts'
import { type RoomPermissions, requirePlainScope, requireWithinGrant } from './room-grant.ts'
import { findRoom, findRoomMember } from './room-store.ts'
import { findSystemKey } from './system-key.ts'

/** A participant token that somebody asks for. */
export interface TokenRequest {
  projectId: string
  name: string
  grants: readonly unknown[]
  /** Whose calls it makes. Undefined: whoever asks; null: nobody's in particular. */
  member: { userId: string } | { email: string } | null | undefined
  /** Undefined: twelve hours, or what the caller's own key has left. */
  expiresInS: number | undefined
}

const defaultMs = 12 * 60 * 60_000

/**
 * Mints a token that is no more than the caller's own. A person gets one of their own, signed by their system key; a key signs
 * for itself, as its holder could, so that its models, addresses, team and end hold for the token. For others, or for nobody,
 * mints who may make keys. @throws AppError 400, 403, 404, 409
 */
export async function mintToken(deps: AppDeps, request: FastifyRequest, wanted: TokenRequest): Promise<string> {
  const { key: ownKey, permissions } = callerOf(request)
  const own = ownLimits(request)
  const memberId = await readMember(deps, request, wanted)
  const signer =
    memberId === undefined && ownKey
      ? ownKey
      : await findSystemKey(deps, actorOf(request), wanted.projectId, memberId ?? null)
  const nowMs = deps.now()
  const expiresAtMs =
    wanted.expiresInS === undefined
      ? Math.min(nowMs + defaultMs, own.expiresAtMs ?? Number.POSITIVE_INFINITY)
      : nowMs + wanted.expiresInS * 1_000
  const { token, claims } = await sign(deps, signer, wanted, expiresAtMs)

  const needed: Permission[] = []
  if (claims.models !== undefined) needed.push('llm:invoke')
  if (claims.room !== undefined) needed.push('rooms:connect')
  const models = claims.models === undefined ? own.models : (claims.models ?? undefined)
  const isOwnKey = signer === ownKey
  requireWithin(
    {
      permissions: needed,
      models: isOwnKey ? own.models : models,
      ipRanges: isOwnKey ? own.ipRanges : undefined,
      expiresAtMs,
    },
    { ...own, permissions },
  )
  const scope = apiScopeOf(wanted.grants)
  const place = { projectId: wanted.projectId, room: claims.room }
  const granted = await requireRoom(deps, place, signer.member_id, permissions.has('rooms:write'))
  if (granted) requireWithinGrant(granted, scope, claims.models)
  // What a key signs its holder could sign without us; what a room grants is granted.
  else if (!isOwnKey && !permissions.has('members:write')) requirePlainScope(scope)
  if (memberId !== undefined && memberId !== callerOf(request).principal.id)
    await auditMint(deps, request, wanted, claims)
  return token
}

/** What somebody may do as another, or as nobody, is on record. */
function auditMint(
  deps: AppDeps,
  request: FastifyRequest,
  wanted: TokenRequest,
  claims: ParticipantClaims,
): Promise<void> {
  return deps.changes.make(actorOf(request), change =>
    change.audit({
      action: 'participant-token.minted',
      target: claims.memberId ?? 'nobody',
      projectId: wanted.projectId,
      after: { name: claims.name, room: claims.room, expires_at: new Date(claims.expiresAtMs ?? 0).toISOString() },
    }),
  )
}

/** Undefined: the caller's key speaks for itself. */
async function readMember(
  deps: AppDeps,
  request: FastifyRequest,
  { projectId, member }: TokenRequest,
): Promise<string | null | undefined> {
  const { principal, key, permissions } = callerOf(request)
  const self = key ? undefined : principal.id
  if (member === undefined) return self
  const memberId = member && ('userId' in member ? member.userId : await idOfEmail(deps, request, member.email))
  if (memberId !== null && memberId === self) return self
  if (!permissions.has('keys:write'))
    throw errorOf(errors.forbidden, { message: 'For others tokens are minted by those who may make keys.' })
  if (memberId !== null && (memberId === undefined || !(await isMemberOfProject(deps.db, projectId, memberId))))
    throw errorOf(errors.invalidRequest, { message: 'That is no member of this project.' })
  return memberId
}

async function idOfEmail(deps: AppDeps, request: FastifyRequest, email: string): Promise<string | undefined> {
  const member = await findMemberByEmail(deps.db, email)
  return member?.account_id === callerOf(request).principal.accountId ? member.member_id : undefined
}

async function sign(
  deps: AppDeps,
  signer: Key,
  { name, grants }: TokenRequest,
  expiresAtMs: number,
): Promise<{ token: string; claims: ParticipantClaims }> {
  const { key_id: keyId, project_id: projectId } = signer
  const envelope = signer.secrets[0]?.envelope
  if (!envelope) throw new Error('a key without a secret signs nothing')
  const secret = Buffer.from(deps.box.open(envelope, { purpose: 'key-secret', projectId, rowId: keyId }))
  const memberId = signer.system ? signer.member_id : undefined
  const token = await signParticipantToken({ name, grants, keyId, projectId, memberId, expiresAtMs }, secret)
  if (token.length > maxTokenLength)
    throw errorOf(errors.invalidRequest, { message: `A token has at most ${maxTokenLength} characters.` })
  try {
    return { token, claims: await verifyParticipantToken(token, [secret], deps.now()) }
  } catch (error) {
    if (error instanceof TokenError) throw errorOf(errors.invalidRequest, { message: error.message })
    throw error
  }
}

/**
 * Requires a room that takes this member, where one is named. Rooms that one may not know of are none.
 * @returns what is granted to them there; null or undefined: what they may do in the project @throws AppError 404, 409
 */
async function requireRoom(
  deps: AppDeps,
  { projectId, room: name }: { projectId: string; room: string | undefined },
  memberId: string | undefined,
  managesRooms: boolean,
): Promise<RoomPermissions | null | undefined> {
  if (name === undefined) return undefined
  const room = await findRoom(deps.db, projectId, name)
  if (!room) {
    const project = await findProject(deps.db, projectId)
    if (!project || effectiveSettings(project.settings).unknown_rooms === 'deny') throw notFound()
    return
  }
  const grant = memberId === undefined ? undefined : await findRoomMember(deps.db, projectId, name, memberId)
  if (room.access === 'members' && !grant && !(managesRooms && memberId === undefined)) throw notFound()
  if (room.closed_at) throw errorOf(errors.roomClosed)
  return grant?.permissions
}

/** What a token opens of the API, as its one grant of that name says it: verifying it has shown that there is one. */
function apiScopeOf(grants: readonly unknown[]): Record<string, unknown> {
  const grant = grants.find(one => (one as { name?: unknown } | null)?.name === 'api')
  const scope = (grant as { scope?: unknown } | undefined)?.scope
  return typeof scope === 'object' && scope !== null ? (scope as Record<string, unknown>) : {}
}
