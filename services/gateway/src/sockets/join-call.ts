import type { Principal } from '../authenticate.ts'
import type { GatewayDeps } from '../request-path.ts'
import type { Route } from '../resolve-route.ts'
import type { SocketContext } from './socket-context.ts'
import { openUpstreamSocket, type UpstreamSocket } from './upstream-socket.ts'

/** A call that is to be metered here. */
export interface CallToJoin {
  /** The provider's id. */
  call_id: string
  by_client_secret: boolean
  left_turns: readonly string[]
  /** Admits its maker once more, from memory. @throws Refusal */
  prove: () => Principal
  hangUp: () => Promise<boolean>
}

/**
 * Joins a call by its id and meters it there until it ends. @throws UpstreamRefusal with the provider's answer, Refusal where
 * there was none, or where its maker may not go on
 */
export async function joinCall(deps: GatewayDeps, context: SocketContext, call: CallToJoin): Promise<void> {
  const headers = context.headers.forwarded
  const connect = (route: Route): Promise<UpstreamSocket> =>
    openUpstreamSocket(deps.upstreams, route, context.match, { headers, protocols: [] })
  const upstream = await connect(context.route)
  let principal: Principal
  try {
    // What was taken away while the provider was asked has cut nothing: this call was not there yet.
    principal = call.prove()
  } catch (error) {
    upstream.socket.terminate()
    throw error
  }
  let ending: Promise<boolean> | undefined
  const hangUp = (): Promise<boolean> => {
    ending ??= call.hangUp().then(isOver => {
      if (!isOver) ending = undefined
      return isOver
    })
    return ending
  }
  const { call_id: callId, by_client_secret: byClientSecret } = call
  const joined = { callId, byClientSecret, leftTurns: new Set(call.left_turns), hangUp }
  deps.sockets.join(deps, { ...context, principal, joined }, upstream, connect)
}
