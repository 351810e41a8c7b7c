import type { Principal } from '../authenticate.ts'
import { Refusal } from '../refusal.ts'
import type { Route } from '../resolve-route.ts'

/** Names the address and the access of a route, to tell whether a provider's secret is still theirs. */
export function upstreamOf(route: Route): string {
  return `${route.access} ${route.origin}${route.basePath}`
}

/**
 * The route on which a session begins: with the provider's own secret where the caller came with one of ours, since that
 * carries the session as its maker has set it. @throws Refusal where the project's access is another one by now
 */
export function sessionRoute(route: Route, { clientSecret }: Principal): Route {
  if (!clientSecret) return route
  if (clientSecret.upstream !== upstreamOf(route))
    throw new Refusal(
      'unauthorized',
      'The access to the provider has changed since this client secret was made. Make a new one.',
    )
  return { ...route, credentialHeaders: ['authorization', `Bearer ${clientSecret.providerSecret}`] }
}
