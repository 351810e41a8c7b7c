import { type Bundle, bundles, type Key, permissionsOf, type Role } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { errors } from './errors.ts'

/** What somebody is given in a project. */
export interface ProjectRights {
  role: Role
  /** Beside the role, each once, in the order of the list of bundles. */
  bundles: Bundle[]
}

/** How clients say what somebody gets: a list of names, or one flag each, as older ones do. */
export interface RightsRequest {
  roles?: readonly (Role | Bundle)[]
  is_admin?: boolean
  is_developer?: boolean
  can_create_rooms?: boolean
  can_use_llm_proxy?: boolean
}

/**
 * The rights that a request asks for. Flags that are not sent: no admin, no developer, no rooms; calls for developers and
 * admins. Bundles that no flag names stay as they were.
 * @throws AppError 400 where both forms are used
 */
export function readRights(request: RightsRequest, before: readonly Bundle[] = []): ProjectRights {
  const { roles, is_admin, is_developer, can_create_rooms, can_use_llm_proxy } = request
  if (roles !== undefined) {
    if ([is_admin, is_developer, can_create_rooms, can_use_llm_proxy].some(flag => flag !== undefined))
      throw errorOf(errors.invalidRequest, { message: 'Send roles or flags such as is_admin, not both.' })
    const role = (['admin', 'developer'] as const).find(name => roles.includes(name)) ?? 'member'
    return { role, bundles: bundles.filter(bundle => roles.includes(bundle)) }
  }
  const role = is_admin ? 'admin' : is_developer ? 'developer' : 'member'
  const calls = can_use_llm_proxy ?? role !== 'member'
  const flagged: Partial<Record<Bundle, boolean>> = { llm_proxy_user: calls, room_creator: can_create_rooms ?? false }
  return { role, bundles: bundles.filter(bundle => flagged[bundle] ?? before.includes(bundle)) }
}

/** The names that say the same as a list. */
export function rolesOf({ role, bundles }: ProjectRights): (Role | Bundle)[] {
  return [role, ...bundles]
}

/**
 * Refuses to give, or to take from somebody, what the giver does not hold. A key that is limited in time or to models gives
 * nothing to people, who have no such limits.
 * @throws AppError 403
 */
export function requireMayGrant(
  giver: { permissions: ReadonlySet<string>; key: Key | undefined },
  ...rights: readonly (ProjectRights | undefined)[]
): void {
  const limited =
    giver.key?.models !== undefined || giver.key?.ip_ranges !== undefined || giver.key?.expires_at_ms !== undefined
  const beyond = rights.some(
    right => right && permissionsOf(right.role, right.bundles).some(permission => !giver.permissions.has(permission)),
  )
  if (limited || beyond)
    throw errorOf(errors.grantsTooMuch, {
      message:
        'Nobody gives or takes what they do not have: these rights must be within your own. Ask an admin of the project.',
    })
}
