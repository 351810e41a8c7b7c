import type { StoredFile } from '@sluice/contracts'
import { Refusal } from '../refusal.ts'
import type { AuthenticatedCall, GatewayDeps } from '../request-path.ts'
import type { Route } from '../resolve-route.ts'

/** The way to an upload: by the access that it was made with. @throws Refusal where that is no longer there */
export function routeOfUpload(deps: GatewayDeps, call: AuthenticatedCall, upload: StoredFile): Route {
  const route = deps.routes.ofAccess(call.principal.project, upload.dialect, upload.access)
  if (route) return route
  throw new Refusal(
    'provider_not_configured',
    'The integration that this file was uploaded with is no longer there. An admin of the project can set it up again.',
  )
}
