import type { AdmittedCall } from './call.ts'
import { forward } from './forward.ts'
import { classNotOpen } from './path-class.ts'
import { type ModelRequest, readPlainRequest } from './read-request.ts'
import { Refusal } from './refusal.ts'
import { admit, type GatewayDeps, type HttpCall, headersToForward, readRequest } from './request-path.ts'
import { readBoundary } from './uploads/form-frame.ts'
import { receiveForm } from './uploads/receive-form.ts'

const nothing: ReadonlySet<string> = new Set()

/**
 * `/v1/files…`: free, as they come and go. A provider shows all files of a credential to whoever holds it, so a project
 * has them under a credential of its own only.
 * @throws Refusal 403 `own_credential_required`
 */
export async function forwardFile(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { endpoint, request, response } = call
  requireOwnCredential(deps, call)
  if (endpoint.body === 'none') {
    const admitted = admitOwn(deps, call, await readRequest(deps, call))
    forward(deps, admitted, headersToForward(deps, call, admitted), response, call.refuse)
    return
  }
  const waitingSince = performance.now()
  const { file } = await receiveForm(deps.spool, request, {
    boundary: readBoundary(request.rawHeaders),
    wanted: nothing,
    maxBytes: endpoint.maxBodyBytes,
  })
  response.on('close', () => file.discard())
  try {
    call.startedAt += performance.now() - waitingSince
    if (response.destroyed) return file.discard()
    const admitted = admitOwn(deps, call, { ...readPlainRequest(Buffer.alloc(0)), body: file })
    const headers = headersToForward(deps, call, admitted)
    headers.push('content-length', String(file.size))
    forward(deps, admitted, headers, response, call.refuse)
  } catch (error) {
    file.discard()
    throw error
  }
}

function admitOwn(deps: GatewayDeps, call: HttpCall, asked: ModelRequest): AdmittedCall {
  const admitted = admit(deps, call, asked)
  requireOwnCredential(deps, call)
  return admitted
}

/** @throws Refusal */
function requireOwnCredential(
  deps: GatewayDeps,
  { endpoint, match, principal: { project, identity } }: HttpCall,
): void {
  if (project.path_classes?.free !== true) throw classNotOpen(`${endpoint.method} ${endpoint.path}`, 'free', project)
  if (deps.routes.resolve(project, match.dialect, identity.team_id).access !== 'managed') return
  throw new Refusal(
    'own_credential_required',
    `Files belong to a credential at the provider, and project "${project.name}" shares the operator's. An admin of the project can set its own: PUT /accounts/projects/${project.project_id}/settings/openai.`,
  )
}
