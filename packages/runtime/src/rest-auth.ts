import { createHash } from 'node:crypto'
import {
  type Key,
  type Permission,
  type ProvedParticipant,
  type Role,
  rolePermissions,
  type Session,
} from '@sluice/contracts'
import { AppError } from './app-error.ts'
import { isInIpRanges } from './ip-ranges.ts'
import { type CredentialSource, credentialOf } from './session-cookie.ts'

/** Who calls a management route. */
export interface RestPrincipal {
  kind: 'member' | 'key'
  /** Member id or key id, for audit. */
  id: string
  accountId: string
  accountAdmin: boolean
  /** Runs the installation. */
  operator: boolean
  /** Role per project id; an account admin is admin of each project of the account. */
  roles: ReadonlyMap<string, Role>
  /** What they may do in each of those projects. */
  permissions: ReadonlyMap<string, ReadonlySet<string>>
  /** Whose token it is that the key has signed, where they sent no more than that. */
  participant?: ProvedParticipant
}

/** Asks who a participant token speaks for; undefined: for nobody. */
export type ProveParticipant = (token: string) => Promise<ProvedParticipant | undefined>

/** What REST authentication reads: the `keys` and `sessions` buckets as views in memory. */
export interface RestCredentialViews {
  findKeyByHash: (sha256Hex: string) => Key | undefined
  findSessionByHash: (sha256Hex: string) => Session | undefined
  /** Account of a project, for account admins; undefined where the project is unknown. */
  accountOfProject: (projectId: string) => string | undefined
}

/** SHA-256, hex: how bearer tokens and keys are looked up. Both carry ≥ 256 random bits, so no salt is needed. */
export function hashCredential(credential: string): string {
  return createHash('sha256').update(credential).digest('hex')
}

const unauthorized = () =>
  new AppError('unauthorized', 401, 'Send a valid API key or session token as "Authorization: Bearer …".')
/** Not-allowed-to-know answers as not-found, so that ids cannot be probed. */
const notFound = () => new AppError('not_found', 404, 'There is no such project, or you have no access to it.')

/**
 * Finds the principal of a request: by its bearer, else by the session in its cookie.
 * @throws AppError 401 where the credential is missing, unknown, expired or revoked; 403 where another site's page sent the
 * cookie, or the key may not come from this address
 */
export function authenticateRest(views: RestCredentialViews, request: CredentialSource, nowMs: number): RestPrincipal {
  const credential = credentialOf(request)
  if (credential === undefined) throw unauthorized()
  const hash = hashCredential(credential)
  if (credential.startsWith('ma-')) return principalOfKey(views, hash, request, nowMs)
  const session = views.findSessionByHash(hash)
  if (!session || session.expires_at_ms <= nowMs) throw unauthorized()
  return {
    kind: 'member',
    id: session.member_id,
    accountId: session.account_id,
    accountAdmin: session.account_admin,
    operator: session.operator ?? false,
    roles: new Map(Object.entries(session.projects)),
    permissions: new Map(
      Object.entries(session.projects).map(([projectId, role]) => [
        projectId,
        new Set(session.permissions?.[projectId] ?? rolePermissions[role]),
      ]),
    ),
  }
}

/**
 * Finds the principal of a participant token: the key that has signed it, which may do with it no more than call models, where both
 * may. @throws AppError 401, 403 as {@link authenticateRest}
 */
export async function authenticateParticipant(
  views: RestCredentialViews,
  prove: ProveParticipant,
  { token, request }: { token: string; request: CredentialSource },
  now: () => number,
): Promise<RestPrincipal> {
  const participant = await prove(token).catch(cause => {
    throw new AppError(
      'tokens_unavailable',
      503,
      'Participant tokens cannot be proved right now. Try again in a moment.',
      {
        cause,
      },
    )
  })
  if (!participant) throw unauthorized()
  const { permissions, ...principal } = principalOfKey(views, participant.key_hash, request, now())
  const calls = [...permissions].map(
    ([projectId, held]) =>
      [projectId, new Set(participant.may_call && held.has('llm:invoke') ? ['llm:invoke'] : [])] as const,
  )
  return { ...principal, permissions: new Map(calls), participant }
}

/** @throws AppError 401, 403 */
function principalOfKey(
  views: RestCredentialViews,
  hash: string,
  { ip }: CredentialSource,
  nowMs: number,
): RestPrincipal {
  const key = views.findKeyByHash(hash)
  if (!key || key.revoked_at_ms !== undefined || (key.expires_at_ms ?? Infinity) <= nowMs) throw unauthorized()
  const secret = key.secrets.find(candidate => candidate.hash === hash)
  if (!secret || (secret.expires_at_ms ?? Infinity) <= nowMs) throw unauthorized()
  // The key of another system, known by its hash: for calls only.
  if (!secret.envelope) throw unauthorized()
  // Whose key it was has left the project or is disabled.
  if (key.permissions?.length === 0) throw unauthorized()
  if (key.ip_ranges && !isInIpRanges(key.ip_ranges, ip))
    throw new AppError('ip_not_allowed', 403, 'This key may not be used from your address. Ask a project admin.')
  return {
    kind: 'key',
    id: key.key_id,
    accountId: key.account_id,
    accountAdmin: false,
    operator: false,
    roles: new Map([[key.project_id, key.role]]),
    permissions: new Map([[key.project_id, new Set(key.permissions ?? rolePermissions[key.role])]]),
  }
}

/** What a principal may do in a project; undefined where they have no role there. */
export function permissionsIn(
  views: RestCredentialViews,
  principal: RestPrincipal,
  projectId: string,
): ReadonlySet<string> | undefined {
  const administers = principal.accountAdmin && views.accountOfProject(projectId) === principal.accountId
  return administers ? allOfAdmin : principal.permissions.get(projectId)
}

const allOfAdmin: ReadonlySet<string> = new Set(rolePermissions.admin)

/** @throws AppError 403 where the caller does not administer their account */
export function requireAccountAdmin(principal: RestPrincipal): void {
  if (!principal.accountAdmin) throw new AppError('forbidden', 403, 'Only an administrator of the account may do that.')
}

/**
 * Requires a permission on a project.
 * @throws AppError 404 where the caller has no role there, 403 where they lack the permission
 */
export function requirePermission(
  views: RestCredentialViews,
  principal: RestPrincipal,
  projectId: string,
  permission: Permission,
): void {
  const held = permissionsIn(views, principal, projectId)
  if (!held) throw notFound()
  if (!held.has(permission))
    throw new AppError(
      'forbidden',
      403,
      `You may not do that in this project: it takes ${permission}. Ask a project admin.`,
    )
}
