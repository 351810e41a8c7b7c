import type { Key, Role, Session } from '@sluice/contracts'
import {
  authenticateRest,
  type CredentialSource,
  credentialOf,
  errorOf,
  hashCredential,
  permissionsIn,
  type RestPrincipal,
  type RouteAccess,
  requirePermission,
  type TenantScope,
  withinScope,
} from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { KeyLimits } from './api-key.ts'
import { findKeyByHash } from './api-key-store.ts'
import type { Actor, Origin } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { errors, notFound } from './errors.ts'
import { findSessionAndAccount } from './session-store.ts'

/**
 * Who may use a route. `public`: anyone. `signed-in`: any valid credential. `account-admin`: a member who administers the
 * account. `operate`: who runs the installation. `project`: any role in the project of the path. Else: a role in it that has
 * the permission.
 */
export type Access = RouteAccess

/** Who sent a request, as far as its route has checked. */
export interface Caller {
  principal: RestPrincipal
  /** The key they came with, or the hash of their session's token. */
  key: Key | undefined
  sessionHash: string | undefined
  /** Their role in the project of the path, and what they may do there. */
  role: Role | undefined
  permissions: ReadonlySet<string>
}

declare module 'fastify' {
  interface FastifySchema {
    /** Content type of the answer, where it is not JSON. */
    produces?: string
  }
  interface FastifyRequest {
    caller: Caller | null
  }
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * Checks every request before its body is read. Denies by default: a route that does not say who may use it is refused when
 * it is registered. Asks PostgreSQL once each time, so that a revoked key or an ended session stops at once.
 */
export function guardRoutes(app: FastifyInstance, deps: { db: Db; now: () => number }): void {
  app.decorateRequest('caller', null)
  app.addHook('onRoute', route => {
    if (route.config?.access === undefined) throw new Error(`${route.url} does not say who may use it`)
  })
  app.addHook('onRequest', async request => {
    if (request.is404) return
    const access = request.routeOptions.config.access
    if (access === 'public') return
    const { pid } = request.params as { pid?: string }
    const projectId = pid !== undefined && uuid.test(pid) ? pid : undefined
    const { caller, projectAccount } = await withinScope({ system: true }, () => authenticate(deps, request, projectId))
    request.caller = caller
    if (access === 'signed-in') return
    if (access === 'account-admin') {
      if (!caller.principal.accountAdmin)
        throw errorOf(errors.forbidden, { message: 'Only an administrator of the account may do that.' })
      if (pid !== undefined && projectId === undefined) throw notFound()
      return
    }
    if (access === 'operate') {
      if (!caller.principal.operator)
        throw errorOf(errors.forbidden, { message: 'Only an operator of the installation may do that.' })
      return
    }
    if (access === undefined || projectId === undefined) throw notFound()
    caller.role = roleIn(caller.principal, projectId, projectAccount)
    if (!caller.role) throw notFound()
    const views = viewsOf(undefined, undefined, projectAccount)
    caller.permissions = permissionsIn(views, caller.principal, projectId) ?? new Set()
    if (access !== 'project') requirePermission(views, caller.principal, projectId, access)
  })
}

/**
 * What the rest of a request may see of the database: its caller's project where the path names one, else their account.
 * What is the operators' is shown on their routes alone. Public routes look for credentials and addresses over all accounts. Entered behind the body, which is read in another
 * context.
 */
export function enterScopes(app: FastifyInstance): void {
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.is404) return done()
    withinScope(scopeOf(request), done)
  })
}

function scopeOf(request: FastifyRequest): TenantScope {
  const { caller } = request
  if (!caller) return { system: true }
  const { accountId } = caller.principal
  if (request.routeOptions.config.access === 'operate') return { accountId, operator: true }
  const { pid } = request.params as { pid?: string }
  return caller.role === undefined || pid === undefined ? { accountId } : { accountId, projectId: pid }
}

/** The caller of a route that is not public. */
export function callerOf(request: FastifyRequest): Caller {
  if (!request.caller) throw new Error('a public route has no caller')
  return request.caller
}

/** The caller's role in the project of the path, on routes that ask for one. */
export function roleOf(request: FastifyRequest): Role {
  const { role } = callerOf(request)
  if (!role) throw new Error('this route has no project')
  return role
}

/** What the caller's own credential is limited to in the project of the path. */
export function ownLimits(request: FastifyRequest): KeyLimits {
  const { key, permissions } = callerOf(request)
  return { permissions, models: key?.models, ipRanges: key?.ip_ranges, expiresAtMs: key?.expires_at_ms }
}

/** The caller as somebody who revokes keys: within their limits, and the key they came with in any case. */
export function revokerOf(request: FastifyRequest): { own: KeyLimits; keyId: string | undefined } {
  return { own: ownLimits(request), keyId: callerOf(request).key?.key_id }
}

/** The caller as the audit trail names them. */
export function actorOf(request: FastifyRequest): Actor {
  const { kind, id, accountId } = callerOf(request).principal
  return { kind, id, accountId, from: originOf(request) }
}

/** Where a request came from, as the audit trail says it. */
export function originOf(request: FastifyRequest): Origin {
  return { address: request.ip, userAgent: request.headers['user-agent']?.slice(0, 256) ?? null }
}

/** @param projectId of the path: beside the caller it is said which account it belongs to, as far as they may know */
async function authenticate(
  deps: { db: Db; now: () => number },
  request: CredentialSource,
  projectId: string | undefined,
): Promise<{ caller: Caller; projectAccount: string | undefined }> {
  const credential = credentialOf(request)
  const hash = credential && hashCredential(credential)
  const isKey = credential?.startsWith('ma-') === true
  const key = hash && isKey ? await findKeyByHash(deps.db, hash) : undefined
  const found = hash && !isKey ? await findSessionAndAccount(deps.db, hash, projectId) : undefined
  const session = found?.session
  const caller: Caller = {
    principal: authenticateRest(viewsOf(key, session, undefined), request, deps.now()),
    key,
    sessionHash: session && hash ? hash : undefined,
    role: undefined,
    permissions: new Set(),
  }
  const ofKey = key?.project_id === projectId ? key?.account_id : undefined
  return { caller, projectAccount: found?.projectAccount ?? ofKey }
}

/** What was read for one request, in the form that the shared checks ask. */
function viewsOf(key: Key | undefined, session: Session | undefined, account: string | undefined) {
  return { findKeyByHash: () => key, findSessionByHash: () => session, accountOfProject: () => account }
}

function roleIn(principal: RestPrincipal, projectId: string, account: string | undefined): Role | undefined {
  if (account === undefined || account !== principal.accountId) return undefined
  return principal.accountAdmin ? 'admin' : principal.roles.get(projectId)
}
