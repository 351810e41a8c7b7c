import type { PriceBooksOfCall } from '../allow-model.ts'
import type { Principal } from '../authenticate.ts'
import type { Endpoint } from '../endpoints.ts'
import type { PathMatch } from '../match-path.ts'
import type { ReadHeaders } from '../request-headers.ts'
import type { Route } from '../resolve-route.ts'

/** Who opened a socket, and to where. */
export interface SocketContext {
  /** Of the socket; each turn has its own. */
  callId: string
  match: PathMatch
  endpoint: Endpoint
  /** With the credential, which is proved again at each turn, never logged and never forwarded. */
  headers: ReadHeaders
  principal: Principal
  /** Of the connection to the provider that is in use. */
  route: Route
  /** From `?model=`, or of the client secret. */
  model: string | undefined
  openedAtMs: number
  /** In force at its latest turn. */
  latestBooks?: PriceBooksOfCall
  /** Where it is the way by which a call is metered. */
  joined?: JoinedCall
}

/** A call whose sound goes past this gateway: what its session must know of it. */
export interface JoinedCall {
  /** The provider's id. */
  callId: string
  byClientSecret: boolean
  /** Responses and items that are settled from the journal of a gateway that has ended. */
  leftTurns: ReadonlySet<string>
  /** Ends it at the provider, once. @returns whether it has ended; where not, it is tried again */
  hangUp: () => Promise<boolean>
}
