import { setTimeout as delay } from 'node:timers/promises'
import type { AdmittedCall } from '../call.ts'
import { Refusal } from '../refusal.ts'
import type { GatewayDeps } from '../request-path.ts'
import { findFileIds } from './find-file-ids.ts'

/** What a request goes on from at its provider. */
export interface References {
  /** Responses before this one: one, where it is not said twice. */
  previousResponseIds: readonly string[]
  /** It names a conversation. */
  conversation: boolean
}

export type ReferenceDeps = Pick<GatewayDeps, 'stored' | 'batches'>
type ReferringCall = Pick<AdmittedCall, 'principal' | 'route'>

/** A response may be asked for before its record has come round: it is looked for again after these times. */
const againAfterMs = [100, 300]
const ownCredential = "with an integration of the project's own the provider decides"

/**
 * Lets a request refer only to what its project has made through this proxy, where it goes out under the operator's
 * credential: the provider gives what is kept there to whoever names its id. Under a credential of the project's own all of it
 * is the project's.
 * @param knows responses that need no look-up
 * @returns undefined: nothing has to be looked up
 * @throws Refusal at once or by the promise
 */
export function requireOwnReferences(
  deps: ReferenceDeps,
  call: ReferringCall,
  request: { references?: References; body: AdmittedCall['body'] },
  knows: (responseId: string) => boolean = () => false,
): Promise<void> | undefined {
  if (call.route.access !== 'managed') return undefined
  if (request.references?.conversation)
    throw new Refusal(
      'not_found',
      `This project has no such conversation: none is made through this proxy under the operator's credential; ${ownCredential}. Leave "conversation" out and send what was said as "input".`,
    )
  const responseIds = (request.references?.previousResponseIds ?? []).filter(id => !knows(id))
  const fileIds = Buffer.isBuffer(request.body) ? findFileIds(request.body) : []
  if (responseIds.length === 0 && fileIds.length === 0) return undefined
  if (fileIds.length > maxFileIds)
    throw new Refusal('invalid_request', `A request may name at most ${maxFileIds} files by their ids.`)
  return lookUp(deps, call, responseIds, fileIds)
}

/** Each is a look-up. */
const maxFileIds = 100

async function lookUp(
  deps: ReferenceDeps,
  call: ReferringCall,
  responseIds: readonly string[],
  fileIds: readonly string[],
): Promise<void> {
  for (const id of responseIds) await requireOwnResponse(deps, call, id)
  for (const id of new Set(fileIds)) await requireOwnFile(deps, call, id)
}

async function requireOwnResponse({ stored }: ReferenceDeps, call: ReferringCall, id: string): Promise<void> {
  const { project, identity } = call.principal
  if (project.path_classes?.stored !== true)
    throw new Refusal(
      'previous_response_not_found',
      `Previous response with id '${id}' not found: which project made it is not recorded under the operator's credential. Send what was said as "input"; or an admin of the project opens the path class "stored" ("path_classes": {"stored": true}), from then on its responses are known; or ${ownCredential}.`,
    )
  for (const waitMs of [0, ...againAfterMs]) {
    if (waitMs > 0) await delay(waitMs)
    const made = await stored.records.find(identity.project_id, id)
    if (made?.access === call.route.access) return
  }
  throw new Refusal('previous_response_not_found', `Previous response with id '${id}' not found.`)
}

async function requireOwnFile({ batches }: ReferenceDeps, call: ReferringCall, id: string): Promise<void> {
  const { project_id: projectId } = call.principal.identity
  const { provider, access } = call.route
  const upload = await findUpload(batches, projectId, id)
  if (upload?.access === access && upload.dialect === provider) return
  const isWritten = batches.jobs
    .ofProject(projectId, provider)
    .some(({ job }) => job.access === access && job.result_file_ids?.includes(id) === true)
  if (isWritten) return
  throw new Refusal(
    'not_found',
    `There is no file "${id}" in this project: under the operator's credential it has those that it uploaded through this proxy; ${ownCredential}.`,
  )
}

async function findUpload({ files }: ReferenceDeps['batches'], projectId: string, id: string) {
  try {
    return await files.find(projectId, id)
  } catch (cause) {
    throw new Refusal(
      'records_unavailable',
      'This gateway cannot look up who uploaded which file right now. Try again in a moment.',
      { retryAfterS: 1, cause },
    )
  }
}
