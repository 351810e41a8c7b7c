import { setTimeout as delay } from 'node:timers/promises'
import type { AdmittedCall } from '../call.ts'
import { Refusal } from '../refusal.ts'
import type { ReplyShapeName } from '../reply-reader.ts'
import type { GatewayDeps } from '../request-path.ts'
import { JsonScanError, type MemberSpan } from '../scan-json.ts'
import { findReferences, type SearchedBody } from './find-references.ts'
import { maxReferences, type Reference } from './reference-reader.ts'
import { refuseReference } from './refuse-reference.ts'

/** What a request goes on from at its provider by its top-level members. */
export interface References {
  /** Responses before this one: one, where it is not said twice. */
  previousResponseIds: readonly string[]
  /** It names a conversation. */
  conversation: boolean
  /** It has a `prompt` or a `container`, in which more is named. */
  isNamed: boolean
  /** Where its items and tools stand, in which more may be named; undefined: anywhere in its body. */
  input: MemberSpan | undefined
  tools: MemberSpan | undefined
}

export type ReferenceDeps = Pick<GatewayDeps, 'stored' | 'batches' | 'made'>
type ReferringCall = Pick<AdmittedCall, 'principal' | 'route'>

/** What was made just now may be asked for before its record has come round: it is looked for again after these times. */
const againAfterMs = [100, 300]
const maxLookUpsAtOnce = 32

/** Kinds of requests that name more than files. */
const namesOf: Partial<Record<ReplyShapeName, SearchedBody['names']>> = {
  responses: 'items-and-tools',
  compaction: 'items-and-tools',
  'token-count': 'items-and-tools',
  chat: 'spoken-answers',
  speech: 'prompts-and-voices',
}

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
  request: { references?: References | undefined; body: AdmittedCall['body']; shape: ReplyShapeName },
  knows: (responseId: string) => boolean = () => false,
): Promise<void> | undefined {
  if (call.route.access !== 'managed') return undefined
  const { references, body } = request
  if (references?.conversation) refuseReference({ kind: 'conversation', id: '' })
  const found = Buffer.isBuffer(body) ? referencesIn(body, call, request) : []
  for (const each of found)
    if (each.kind !== 'file' && each.kind !== 'item' && each.kind !== 'container') refuseReference(each)
  const projectId = call.principal.identity.project_id
  const unknown = found.filter(({ kind, id }) => kind === 'file' || !deps.made.knows(projectId, id))
  for (const id of references?.previousResponseIds ?? [])
    if (!knows(id) && !deps.made.knows(projectId, id)) unknown.push({ kind: 'response', id })
  return unknown.length === 0 ? undefined : lookUp(deps, call, unknown)
}

function referencesIn(
  body: Buffer,
  { route }: ReferringCall,
  { references, shape }: { references?: References | undefined; shape: ReplyShapeName },
): Reference[] {
  const found = readReferencesIn({
    body,
    names: (route.provider === 'openai' && namesOf[shape]) || 'nothing-more',
    ...(references && { isNamed: references.isNamed, input: references.input, tools: references.tools }),
  })
  if (found.length > maxReferences)
    throw new Refusal(
      'invalid_request',
      `A request may name at most ${maxReferences} objects at its provider by their ids.`,
    )
  return found
}

/** @throws Refusal 400 where the body is no JSON to a stricter reader */
export function readReferencesIn(searched: SearchedBody): Reference[] {
  try {
    return findReferences(searched)
  } catch (error) {
    if (error instanceof JsonScanError) throw new Refusal('invalid_request', error.message)
    throw error
  }
}

async function lookUp(deps: ReferenceDeps, call: ReferringCall, references: readonly Reference[]): Promise<void> {
  const distinct = [...new Map(references.map(each => [`${each.kind} ${each.id}`, each])).values()]
  while (distinct.length > 0)
    await Promise.all(distinct.splice(0, maxLookUpsAtOnce).map(each => requireOwn(deps, call, each)))
}

async function requireOwn(deps: ReferenceDeps, call: ReferringCall, reference: Reference): Promise<void> {
  const isOwn =
    reference.kind === 'file'
      ? await isOwnFile(deps, call, reference.id)
      : await isOwnObject(deps, call.principal.identity.project_id, reference)
  if (!isOwn) refuseReference(reference)
}

async function isOwnObject(
  { made, stored }: ReferenceDeps,
  projectId: string,
  { kind, id }: Reference,
): Promise<boolean> {
  for (const waitMs of [0, ...againAfterMs]) {
    if (waitMs > 0) await delay(waitMs)
    if (await made.find(projectId, id)) return true
    // Those of the class "stored" are kept there longer, however many others there are.
    if (kind === 'response' && (await stored.records.find(projectId, id))?.access === 'managed') return true
  }
  return false
}

async function isOwnFile({ batches }: ReferenceDeps, call: ReferringCall, id: string): Promise<boolean> {
  const { project_id: projectId } = call.principal.identity
  const { provider, access } = call.route
  const upload = await findUpload(batches, projectId, id)
  if (upload?.access === access && upload.dialect === provider) return true
  return batches.jobs
    .ofProject(projectId, provider)
    .some(({ job }) => job.access === access && job.result_file_ids?.includes(id) === true)
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
