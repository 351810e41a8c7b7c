import type { UsageResult } from '@sluice/usage'
import type { AdmittedCall } from '../call.ts'
import type { GatewayDeps } from '../request-path.ts'

type MakingCall = Pick<AdmittedCall, 'route' | 'principal' | 'admittedAtMs' | 'endpoint'>

/**
 * Remembers a response and what it has made, where a later request could otherwise name what somebody else has: nobody waits
 * for it.
 */
export function rememberMade(
  { made }: Pick<GatewayDeps, 'made'>,
  { route, principal, admittedAtMs }: Omit<MakingCall, 'endpoint'>,
  { response_id: responseId, made_ids: madeIds = [] }: Pick<UsageResult, 'response_id' | 'made_ids'>,
): void {
  if (route.access !== 'managed' || responseId === undefined) return
  made.add(principal.identity.project_id, [responseId, ...madeIds], admittedAtMs)
}

/** Likewise the container of a message, which goes on by it where its model runs code. */
export function rememberContainer(
  { made }: Pick<GatewayDeps, 'made'>,
  { endpoint, route, principal, admittedAtMs }: MakingCall,
  { made_ids: madeIds }: Pick<UsageResult, 'made_ids'>,
): void {
  if (madeIds !== undefined && endpoint.shape === 'messages' && route.access === 'managed')
    made.add(principal.identity.project_id, madeIds, admittedAtMs)
}
