import type { Permission } from '@sluice/contracts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  authenticateParticipant,
  authenticateRest,
  type ProveParticipant,
  type RestCredentialViews,
  type RestPrincipal,
  requireAccountAdmin,
  requirePermission,
} from './rest-auth.ts'
import { withinScope } from './tenant-scope.ts'
import { tokenOf } from './token-shape.ts'

/**
 * Who may use a route. `public`: anyone. `signed-in`: any valid credential. `account-admin`: a member who administers the
 * account. `project`: any role in the project of the path. Else: who has that permission there.
 */
export type RouteAccess = 'public' | 'signed-in' | 'account-admin' | 'project' | Permission

declare module 'fastify' {
  interface FastifySchema {
    /** What a route does, in a few words. */
    summary?: string
    /** What its summary leaves open. */
    description?: string
    /** A body as somebody would send it. */
    example?: object
  }
  interface FastifyContextConfig {
    access?: RouteAccess
    /** A participant token is a credential here, too, where whoever checks can have it proved. */
    takesTokens?: true
    /** Whoever runs the installation may use it as well, in every project. */
    operators?: true
  }
  interface FastifyRequest {
    principal: RestPrincipal | null
  }
}

const namesNoProject: ReadonlySet<RouteAccess> = new Set(['public', 'signed-in', 'account-admin'])

/**
 * Checks every request before its body is read, from the buckets in memory. Denies by default: a route that does not say who
 * may use it is refused when it is registered. The project is the path's `pid`.
 * @throws AppError 401, 403, 404 where the caller has no role in the project
 */
export function guardByViews(
  app: FastifyInstance,
  { views, nowMs, prove }: { views: RestCredentialViews; nowMs: () => number; prove?: ProveParticipant },
): void {
  app.decorateRequest('principal', null)
  app.addHook('onRoute', route => {
    const access = route.config?.access
    if (access === undefined || access === 'project' || access === 'operate')
      throw new Error(`${route.url} does not say who may use it`)
    if (!namesNoProject.has(access) && !route.url.includes('/:pid'))
      throw new Error(`${route.url} names no project for ${access}`)
  })
  app.addHook('onRequest', async request => {
    if (request.is404) return
    const { access, takesTokens, operators } = request.routeOptions.config
    if (access === 'public') return
    const token = takesTokens ? tokenOf(request.headers) : undefined
    request.principal =
      token !== undefined && prove
        ? await authenticateParticipant(views, prove, { token, request }, nowMs)
        : authenticateRest(views, request, nowMs())
    if (access === 'signed-in') return
    if (access === 'account-admin') {
      requireAccountAdmin(request.principal)
      return
    }
    const { pid } = request.params as { pid: string }
    if (operators && request.principal.operator && views.accountOfProject(pid) !== undefined) return
    requirePermission(views, request.principal, pid, access as Permission)
  })
  // Behind the body, which is read in another context.
  app.addHook('preValidation', (request, _reply, done) => {
    const { principal } = request
    if (!principal) return done()
    const { pid: projectId } = request.params as { pid?: string }
    const isOperators = request.routeOptions.config.operators === true && principal.operator && projectId !== undefined
    const accountId = (isOperators ? views.accountOfProject(projectId) : undefined) ?? principal.accountId
    withinScope({ accountId, ...(projectId !== undefined && { projectId }) }, done)
  })
}

/** Who sent a request, on routes that are not public. */
export function principalOf(request: FastifyRequest): RestPrincipal {
  if (!request.principal) throw new Error('a public route has no principal')
  return request.principal
}
