import { bundles, permissionsOf, type Role, rolePermissions, Type } from '@sluice/contracts'
import type { Static } from 'typebox'
import { rightsOf } from '../change-project-member.ts'
import { rolesOf } from '../project-member.ts'
import type { ProjectMember } from '../project-member-store.ts'

export const RoleName = Type.Enum([...(Object.keys(rolePermissions) as Role[]), ...bundles])

/** A person in a project, in both forms that clients read: flat with one flag each, and as `user` with `direct_roles`. */
export const ProjectMemberResponse = Type.Object({
  id: Type.String(),
  email: Type.String(),
  first_name: Type.String(),
  last_name: Type.String(),
  is_admin: Type.Boolean(),
  is_developer: Type.Boolean(),
  can_create_rooms: Type.Boolean(),
  can_use_llm_proxy: Type.Boolean(),
  /** May not come in anywhere: their account has shut them out. */
  disabled: Type.Boolean(),
  user: Type.Object({
    id: Type.String(),
    email: Type.String(),
    first_name: Type.String(),
    last_name: Type.String(),
  }),
  direct_roles: Type.Array(Type.String()),
  default_team_id: Type.Union([Type.String(), Type.Null()]),
  created_at: Type.String(),
})

export function toProjectMemberResponse(member: ProjectMember): Static<typeof ProjectMemberResponse> {
  const { member_id: id, email, first_name, last_name, role, roles } = member
  const permissions = permissionsOf(role, roles)
  return {
    id,
    email,
    first_name,
    last_name,
    is_admin: role === 'admin',
    is_developer: role !== 'member',
    can_create_rooms: permissions.includes('rooms:write'),
    can_use_llm_proxy: permissions.includes('llm:invoke'),
    disabled: member.disabled_at !== null,
    user: { id, email, first_name, last_name },
    direct_roles: rolesOf(rightsOf(member)),
    default_team_id: member.default_team_id,
    created_at: member.created_at.toISOString(),
  }
}
