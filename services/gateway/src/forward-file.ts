import type { Project } from '@sluice/contracts'
import { forward } from './forward.ts'
import { readPlainRequest } from './read-request.ts'
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
  const { endpoint, match, principal, request, response } = call
  if (deps.routes.resolve(principal.project, match.dialect).access === 'managed')
    throw needsOwnCredential(principal.project)
  if (endpoint.body === 'none') {
    const admitted = admit(deps, call, await readRequest(deps, call))
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
    const admitted = admit(deps, call, { ...readPlainRequest(Buffer.alloc(0)), body: file })
    const headers = headersToForward(deps, call, admitted)
    headers.push('content-length', String(file.size))
    forward(deps, admitted, headers, response, call.refuse)
  } catch (error) {
    file.discard()
    throw error
  }
}

function needsOwnCredential(project: Project): Refusal {
  return new Refusal(
    'own_credential_required',
    `Files belong to a credential at the provider, and project "${project.name}" shares the operator's. An admin of the project can set its own: PUT /accounts/projects/${project.project_id}/settings/openai.`,
  )
}
