import { bundlePermissions, type Permission, permissions, rolePermissions } from '@sluice/contracts'

/** The permissions that a relation stands for: a role, a bundle or a permission by its name. Undefined: there is none so named. */
export function permissionsOfRelation(relation: string): readonly Permission[] | undefined {
  if (Object.hasOwn(rolePermissions, relation)) {
    const role = relation as keyof typeof rolePermissions
    // Whether one may call is a switch beside the role.
    return role === 'admin' ? rolePermissions.admin : rolePermissions[role].filter(name => name !== 'llm:invoke')
  }
  if (Object.hasOwn(bundlePermissions, relation)) return bundlePermissions[relation as keyof typeof bundlePermissions]
  const permission = permissions.find(name => name === relation)
  return permission && [permission]
}
