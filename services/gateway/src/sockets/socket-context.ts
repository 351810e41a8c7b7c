import type { Principal } from '../authenticate.ts'
import type { Endpoint } from '../endpoints.ts'
import type { PathMatch } from '../match-path.ts'
import type { ReadHeaders } from '../request-headers.ts'
import type { Route } from '../resolve-route.ts'

/** Who opened a socket, and to where: fixed at its upgrade. */
export interface SocketContext {
  /** Of the socket; each turn has its own. */
  callId: string
  match: PathMatch
  endpoint: Endpoint
  headers: ReadHeaders
  /** Proved again at each turn. Never logged, never forwarded. */
  credential: string
  principal: Principal
  route: Route
  /** From `?model=`, or of the client secret. */
  model: string | undefined
  openedAtMs: number
}
