import type { GatewayDeps } from '../request-path.ts'
import type { Route } from '../resolve-route.ts'
import { postToProvider } from './post-to-provider.ts'

/** What a provider says of a call that has ended already. */
const overStatuses: ReadonlySet<number> = new Set([400, 404, 409, 410])

/**
 * Ends a call at its provider. @returns whether it is over: a provider that is busy, or does not know us, has ended nothing
 * @throws Refusal where there is no answer
 */
export async function hangUpAtProvider(
  deps: Pick<GatewayDeps, 'upstreams'>,
  route: Route,
  callId: string,
  headers: readonly string[],
): Promise<boolean> {
  const { status } = await postToProvider(deps, route, `${route.basePath}/realtime/calls/${callId}/hangup`, headers)
  return (status >= 200 && status < 300) || overStatuses.has(status)
}
