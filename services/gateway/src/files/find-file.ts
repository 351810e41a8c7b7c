import { setTimeout as delay } from 'node:timers/promises'
import type { StoredFile } from '@sluice/contracts'
import { routeOfBatch } from '../batches/batch-access.ts'
import { Refusal } from '../refusal.ts'
import type { AuthenticatedCall, GatewayDeps } from '../request-path.ts'
import type { Route } from '../resolve-route.ts'
import type { KeptBatch } from '../views/batch-jobs-view.ts'

/** A file that a project may see, and the way to it. */
export interface VisibleFile {
  route: Route
  /** One that the project has uploaded. */
  upload: StoredFile | undefined
  /** The batch that has written it. */
  batch: KeptBatch | undefined
}

/** Batches that are asked whether they have written a file, where none is known to have. */
const maxAsked = 20

/**
 * The file of a request: uploaded by this project, or written by one of its batches. Another project's is not there, also
 * where it lives under the same credential. @throws Refusal 404
 */
export async function findFile(deps: GatewayDeps, call: AuthenticatedCall, fileId: string): Promise<VisibleFile> {
  const { project_id: projectId } = call.principal.identity
  const upload = await deps.batches.files.find(projectId, fileId)
  if (upload) return { route: routeOfUpload(deps, call, upload), upload, batch: undefined }
  const batch = findWriter(deps, projectId, fileId) ?? (await askWriters(deps, projectId, fileId))
  if (!batch) throw new Refusal('not_found', `There is no file "${fileId}" in this project.`)
  return { route: routeOfBatch(deps, batch.job), upload: undefined, batch }
}

/** The way to an upload: by the access that it was made with. @throws Refusal where that is no longer there */
export function routeOfUpload(deps: GatewayDeps, call: AuthenticatedCall, upload: StoredFile): Route {
  if (upload.access === 'managed') return deps.routes.managed(upload.dialect)
  const route = deps.routes.resolve(call.principal.project, upload.dialect)
  if (route.access === upload.access) return route
  throw new Refusal(
    'provider_not_configured',
    'The integration that this file was uploaded with is no longer there. An admin of the project can set it up again.',
  )
}

function findWriter(deps: GatewayDeps, projectId: string, fileId: string): KeptBatch | undefined {
  return deps.batches.jobs
    .ofProject(projectId, 'openai')
    .find(({ job }) => job.result_file_ids?.includes(fileId) === true)
}

/** A batch may have ended, and told its client so, before we have looked at it. */
async function askWriters(deps: GatewayDeps, projectId: string, fileId: string): Promise<KeptBatch | undefined> {
  const { jobs, poller } = deps.batches
  const running = jobs
    .ofProject(projectId, 'openai')
    .filter(({ job }) => job.state === 'running' && job.result_file_ids === undefined)
    .slice(0, maxAsked)
  if (running.length === 0) return undefined
  let done = false
  const looked = Promise.all(running.map(kept => poller.look(kept))).then(() => {
    done = true
  })
  // What a batch has written is known before all of it is settled.
  for (;;) {
    const found = findWriter(deps, projectId, fileId)
    if (found || done) return found ?? findWriter(deps, projectId, fileId)
    await Promise.race([looked, delay(50)])
    if (done) await delay(100)
  }
}
