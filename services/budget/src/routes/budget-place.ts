import type { RouteAccess } from '@sluice/runtime'
import { hashRequest, principalOf, readIdempotencyKey } from '@sluice/runtime'
import type { FastifyRequest } from 'fastify'
import type { BudgetRouteDeps } from '../app.ts'
import type { Actor } from '../audit-store.ts'
import type { BudgetParent } from '../budget.ts'
import type { MakingOnce } from '../made-once-store.ts'

/** Where budgets are found: each route of theirs stands there. */
export interface BudgetPlace {
  path: string
  /** What a route does, in the words of this place: each operation of a document has a name of its own. */
  words: (summary: string) => string
  reads: RouteAccess
  writes: RouteAccess
  audits: RouteAccess
  parentOf: (request: FastifyRequest, deps: BudgetRouteDeps) => BudgetParent
}

/** Budgets of one project. */
const ofProject: BudgetPlace = {
  path: '/accounts/projects/:pid/budgets',
  words: summary => summary,
  reads: 'usage:read',
  writes: 'budgets:write',
  audits: 'audit:read',
  parentOf: (request, { views }) => {
    const { pid } = request.params as { pid: string }
    return { accountId: views.accountOfProject(pid) ?? principalOf(request).accountId, projectId: pid }
  },
}

/** Budgets of the caller's account, over all of its projects. */
const ofAccount: BudgetPlace = {
  path: '/accounts/budgets',
  words: summary => `${summary}, over all projects of the account`,
  reads: 'account-admin',
  writes: 'account-admin',
  audits: 'account-admin',
  parentOf: request => ({ accountId: principalOf(request).accountId, projectId: undefined }),
}

/** How the caller names what it makes; undefined: it does not. @throws AppError 400 */
export function makingOf(request: FastifyRequest): MakingOnce | undefined {
  const idempotencyKey = readIdempotencyKey(request)
  if (idempotencyKey === undefined) return undefined
  const { id, accountId, participant } = principalOf(request)
  const callerId = participant ? `${id} ${participant.name}` : id
  return { accountId, callerId, idempotencyKey, requestHash: hashRequest(request) }
}

/** The caller, and where their request came from, as the audit names them. */
export function actorOf(request: FastifyRequest): Actor {
  const { kind, id } = principalOf(request)
  return { kind, id, from: { address: request.ip, userAgent: request.headers['user-agent']?.slice(0, 256) ?? null } }
}

export const budgetPlaces: readonly BudgetPlace[] = [ofProject, ofAccount]
