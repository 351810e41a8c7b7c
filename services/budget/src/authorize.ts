import type { Permission } from '@sluice/contracts'
import {
  authenticateRest,
  type CredentialSource,
  type RestCredentialViews,
  type RestPrincipal,
  requirePermission,
} from '@sluice/runtime'

/**
 * Finds who calls and requires a permission on the project of the path.
 * @throws AppError 401, 403, 404
 */
export function authorize(
  views: RestCredentialViews,
  request: CredentialSource,
  projectId: string,
  permission: Permission,
  nowMs: number,
): RestPrincipal {
  const principal = authenticateRest(views, request, nowMs)
  requirePermission(views, principal, projectId, permission)
  return principal
}
