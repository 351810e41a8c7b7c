import type { UsageResult } from '@sluice/usage'
import type { AdmittedCall } from '../call.ts'
import type { GatewayDeps } from '../request-path.ts'

/** Remembers what a reply has made, where a later request could otherwise name what somebody else has: nobody waits for it. */
export function rememberMade(
  { made }: Pick<GatewayDeps, 'made'>,
  { route, principal, admittedAtMs }: Pick<AdmittedCall, 'route' | 'principal' | 'admittedAtMs'>,
  { response_id: responseId, made_ids: madeIds = [] }: Pick<UsageResult, 'response_id' | 'made_ids'>,
): void {
  if (route.access !== 'managed' || responseId === undefined) return
  made.add(principal.identity.project_id, [responseId, ...madeIds], admittedAtMs)
}
