import type { CredentialsView } from '@sluice/bus'
import { errorOf, permissionsIn, type RestPrincipal } from '@sluice/runtime'
import { errors } from './errors.ts'
import type { UsageFilter } from './usage-row-store.ts'

export interface UsageReaderDeps {
  credentials: Pick<CredentialsView, 'accountOfProject' | 'teamsOwnedBy' | 'findKeyByHash' | 'findSessionByHash'>
}

/**
 * What of a project's usage somebody may read. With `usage:read` all of it; with `usage:read-team` that of one team they own,
 * named in the filter; else, with `usage:read-own`, their own. What was asked for beyond that is refused, not left out.
 * @throws AppError 403
 */
export function readableUsage(deps: UsageReaderDeps, principal: RestPrincipal, filter: UsageFilter): UsageFilter {
  const held = permissionsIn(deps.credentials, principal, filter.projectId) ?? new Set()
  if (held.has('usage:read')) return filter
  const { teamId, memberIds } = filter
  if (teamId !== undefined && held.has('usage:read-team') && ownsTeam(deps, principal, filter.projectId, teamId))
    return filter
  if (principal.kind !== 'member' || memberIds?.some(id => id !== principal.id)) throw errorOf(errors.notYourUsage)
  return { ...filter, memberIds: [principal.id] }
}

/** A principal's own usage: a person's calls, a key's calls. */
export function ownUsage(principal: RestPrincipal, filter: UsageFilter): UsageFilter {
  return principal.kind === 'member' ? { ...filter, memberIds: [principal.id] } : { ...filter, keyId: principal.id }
}

function ownsTeam(
  { credentials }: UsageReaderDeps,
  principal: RestPrincipal,
  projectId: string,
  teamId: string,
): boolean {
  return principal.kind === 'member' && credentials.teamsOwnedBy(projectId, principal.id).includes(teamId)
}
