import { forwardFile } from '../forward-file.ts'
import { Refusal } from '../refusal.ts'
import type { GatewayDeps, HttpCall } from '../request-path.ts'
import { listFiles } from './list-files.ts'
import { openFilesOf } from './open-files.ts'
import { deleteFile, readFile } from './read-file.ts'
import { uploadFile } from './upload-file.ts'

/**
 * `/v1/files…`. The class `free` opens all files of a credential of the project's own; `batches` opens those that batches are
 * made of and that they write, each project's own also under a shared credential. What a batch has written is what it is
 * settled from: the rules for it hold in either class.
 * @throws Refusal 403 where neither is open
 */
export async function handleFile(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { endpoint, match, principal } = call
  const { batches, access } = openFilesOf(deps, call)
  const forwards = access !== 'managed'
  if (match.parameter === undefined) {
    if (endpoint.method === 'POST' && batches) return uploadFile(deps, call)
    return forwards || !batches ? forwardFile(deps, call) : listFiles(deps, call)
  }
  const hasBatches = batches || deps.batches.jobs.ofProject(principal.identity.project_id, match.dialect).length > 0
  if (!hasBatches) return forwardFile(deps, call)
  try {
    const ownAccess = forwards ? access : undefined
    return await (endpoint.method === 'DELETE' ? deleteFile : readFile)(deps, call, ownAccess)
  } catch (error) {
    // Not one of a batch: with a credential of its own, the project has others.
    if (forwards && error instanceof Refusal && error.reason === 'not_found') return forwardFile(deps, call)
    throw error
  }
}
