import type { AdmittedCall } from '../call.ts'
import { classNotOpen } from '../path-class.ts'
import type { ModelRequest } from '../read-request.ts'
import { type AuthenticatedCall, admit, type GatewayDeps } from '../request-path.ts'

/** What of `/v1/files…` is open to a project. */
export interface OpenFiles {
  /** Those that batches are made of and that they write. */
  batches: boolean
  /** All files of the credential below, where that is the project's own. */
  free: boolean
  access: string
}

/** @throws Refusal 403 where neither class is open */
export function openFilesOf(
  deps: GatewayDeps,
  { endpoint, match, principal }: Pick<AuthenticatedCall, 'endpoint' | 'match' | 'principal'>,
): OpenFiles {
  const { free = false, batches = false } = principal.project.path_classes ?? {}
  if (!free && !batches) throw classNotOpen(`${endpoint.method} ${endpoint.path}`, 'free', principal.project)
  const { access } = free
    ? deps.routes.resolve(principal.project, match.dialect, principal.identity.team_id)
    : { access: 'managed' }
  return { batches, free, access }
}

/** Admits a call about files, where a class is still open that they belong to. @throws Refusal */
export function admitForFiles(deps: GatewayDeps, call: AuthenticatedCall, asked: ModelRequest): AdmittedCall {
  const admitted = admit(deps, call, asked)
  openFilesOf(deps, admitted)
  return admitted
}
