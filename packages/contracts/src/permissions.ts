import { Type } from './type.ts'

/** What may be done in a project, and with `operate` beside it. Every check names one of these; roles only bundle them. */
export const permissions = [
  /** Call providers through the gateway. */
  'llm:invoke',
  /** Enter rooms. */
  'rooms:connect',
  /** Create and close rooms, and say who is in them. */
  'rooms:write',
  /** Read usage of the whole project. */
  'usage:read',
  /** Read usage of teams that one owns. */
  'usage:read-team',
  /** Read one's own usage. */
  'usage:read-own',
  'members:write',
  'teams:write',
  'keys:write',
  'integrations:write',
  'models:write',
  'budgets:write',
  'billing:read',
  'billing:write',
  'audit:read',
  /** Run the installation. No role of a project has it. */
  'operate',
] as const
export type Permission = (typeof permissions)[number]

/** The three roles in a project, MeshAgent's names. People who are no admins need {@link bundlePermissions} for `llm:invoke`. */
export const rolePermissions = {
  member: ['llm:invoke', 'rooms:connect', 'usage:read-own'],
  developer: ['llm:invoke', 'rooms:connect', 'usage:read-own', 'rooms:write', 'usage:read', 'usage:read-team'],
  admin: permissions.filter(permission => permission !== 'operate'),
} as const satisfies Record<string, readonly Permission[]>
export type Role = keyof typeof rolePermissions
export const Role = Type.Union([Type.Literal('member'), Type.Literal('developer'), Type.Literal('admin')])

/** What people may be given beside their role. */
export const bundlePermissions = {
  /** The switch of every person: without it, `llm:invoke` of their role does not count. */
  llm_proxy_user: ['llm:invoke'],
  room_creator: ['rooms:write'],
  room_manager: ['rooms:connect', 'rooms:write'],
  usage_reporter: ['usage:read', 'usage:read-team', 'usage:read-own'],
  member_manager: ['members:write'],
  team_manager: ['teams:write', 'usage:read-team'],
  key_manager: ['keys:write'],
  integration_manager: ['integrations:write'],
  model_manager: ['models:write'],
  budget_manager: ['budgets:write', 'usage:read', 'usage:read-team'],
  billing_manager: ['billing:read', 'billing:write'],
  auditor: ['audit:read'],
} as const satisfies Record<string, readonly Permission[]>
export type Bundle = keyof typeof bundlePermissions
export const bundles = Object.keys(bundlePermissions) as Bundle[]

/** What a person's role and bundles come to, in the order of {@link permissions}. Keys have their role's permissions as they are. */
export function permissionsOf(role: Role, given: readonly Bundle[]): Permission[] {
  const held = new Set<Permission>(rolePermissions[role])
  if (role !== 'admin') held.delete('llm:invoke')
  for (const bundle of given) for (const permission of bundlePermissions[bundle]) held.add(permission)
  return permissions.filter(permission => held.has(permission))
}
