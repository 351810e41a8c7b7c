import type { StoredFile } from '@sluice/contracts'
import { routeOfBatch } from '../batches/batch-access.ts'
import { routeOfUpload } from '../batches/upload-access.ts'
import { Refusal } from '../refusal.ts'
import type { GatewayDeps, HttpCall } from '../request-path.ts'
import type { Route } from '../resolve-route.ts'
import type { KeptBatch } from '../views/batch-jobs-view.ts'

/** A file that a project may see, and the way to it. */
export interface VisibleFile {
  /** As of now: what was looked for may have taken its time. @throws Refusal where its access is no longer there */
  routeNow: () => Route
  /** One that the project has uploaded. */
  upload: StoredFile | undefined
  /** The batch that has written it. */
  batch: KeptBatch | undefined
}

/**
 * The file of a request: uploaded by this project, or written by one of its batches. Another project's is not there, also
 * where it lives under the same credential.
 * @param ownAccess the project's own credential, where what is not found here is its own to read and to delete
 * @throws Refusal 404; 503 where it cannot be said whether a batch has written it
 */
export async function findFile(deps: GatewayDeps, call: HttpCall, ownAccess: string | undefined): Promise<VisibleFile> {
  const fileId = call.match.parameter ?? ''
  const { project_id: projectId } = call.principal.identity
  const upload = await findUpload(deps, projectId, fileId)
  if (upload) return { routeNow: () => routeOfUpload(deps, call, upload), upload, batch: undefined }
  const isElsewhere = ({ job }: KeptBatch): boolean => job.access !== ownAccess
  const isDeletion = call.endpoint.method === 'DELETE'
  // A file under the project's own credential may be read whoever has written it.
  const mayAsk = isDeletion ? () => true : isElsewhere
  const { batch, untold } = await deps.batches.writers.find(projectId, fileId, mayAsk)
  if (batch) return { routeNow: () => routeOfBatch(deps, batch.job), upload: undefined, batch }
  const isOpen = ownAccess === undefined ? untold.length > 0 : isDeletion && !untold.every(isElsewhere)
  if (isOpen)
    throw new Refusal(
      'records_unavailable',
      `A batch of this project may have written the file "${fileId}", and it cannot be looked at right now. Try again in a moment.`,
      { retryAfterS: 5 },
    )
  throw new Refusal('not_found', `There is no file "${fileId}" in this project.`)
}

async function findUpload(deps: GatewayDeps, projectId: string, fileId: string): Promise<StoredFile | undefined> {
  try {
    return await deps.batches.files.find(projectId, fileId)
  } catch (cause) {
    throw new Refusal(
      'records_unavailable',
      'This gateway cannot look up who made which file right now. Try again in a moment.',
      { retryAfterS: 1, cause },
    )
  }
}
