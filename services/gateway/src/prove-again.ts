import { authenticateAgain } from './authenticate.ts'
import { requireOpenClass } from './path-class.ts'
import { type AuthenticatedCall, booksOf, type GatewayDeps } from './request-path.ts'

/**
 * Puts a call that has waited (for its body, a record, a disk) into the present: its credential is proved again, and its
 * project, path class and prices are those of now. What was taken away while it waited has cut nothing, because a call is
 * among those that can be cut only once it is admitted. A call that has waited for nothing stays as it is.
 * @throws Refusal
 */
export function proveAgain(deps: GatewayDeps, call: AuthenticatedCall): void {
  if (!call.hasWaited) return
  const nowMs = Date.now()
  const closed = deps.closedFor(nowMs)
  // One that was let in before this process began to leave is served.
  if (closed && closed.reason !== 'shutting_down') throw closed
  const { headers, match, endpoint } = call
  const sinceMs = endpoint.takesClientSecrets ? nowMs : undefined
  call.principal = authenticateAgain(deps, call.principal, headers, match.room, nowMs, sinceMs)
  requireOpenClass(endpoint, call.principal.project)
  call.prices = booksOf(deps.prices, call.principal, nowMs)
  call.nowMs = nowMs
}
