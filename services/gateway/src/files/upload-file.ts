import type { StoredFile } from '@sluice/contracts'
import { type FileRequests, readFileRequests } from '../batches/batch-requests.ts'
import { type BatchTerms, FileBound, keptBound } from '../batches/bound-requests.ts'
import { batchTargets } from '../batches/openai-batches.ts'
import { termsOf } from '../batches/pay-for-batch.ts'
import type { BatchBound } from '../bounds/batch-bound.ts'
import type { AdmittedCall } from '../call.ts'
import { askProvider } from '../exchanges/ask-provider.ts'
import { answerExchange, exchange, refusalOfAway } from '../exchanges/exchange.ts'
import { integrationChanged } from '../integration-changed.ts'
import { classNotOpen } from '../path-class.ts'
import { proveAgain } from '../prove-again.ts'
import { readPlainRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { admit, type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { upstreamPath } from '../resolve-route.ts'
import { readBoundary } from '../uploads/form-frame.ts'
import { type ReceivedForm, receiveForm } from '../uploads/receive-form.ts'
import { openFilesOf } from './open-files.ts'
import { readPart } from './read-part.ts'

/**
 * `POST /v1/files`, for batches: what its requests name is read on the way and kept with the file's id, before the client
 * has that id. Where the project has all files of its own credential, those for other purposes are taken too, as they are.
 * @throws Refusal
 */
export async function uploadFile(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { endpoint, request } = call
  const waitingSince = performance.now()
  const form = await receiveForm(deps.spool, request, {
    boundary: readBoundary(request.rawHeaders),
    wanted: new Set(['purpose']),
    maxBytes: endpoint.maxBodyBytes,
  })
  try {
    call.startedAt += performance.now() - waitingSince
    proveAgain(deps, call)
    const { access: readFor } = deps.routes.resolve(
      call.principal.project,
      call.match.dialect,
      call.principal.identity.team_id,
    )
    // Nobody asks for the bound of a file that no hard budget can count.
    const terms = deps.budgets.mayHold(call.principal.identity) ? termsOf(call) : undefined
    const isForBatch = form.fields.get('purpose') === 'batch'
    const requests = isForBatch ? await readRequests(form, readFor === 'managed', terms) : undefined
    const admitted = admit(deps, call, readPlainRequest(Buffer.alloc(0)))
    const { batches, access } = openFilesOf(deps, call)
    if (!requests && access === 'managed')
      throw new Refusal('invalid_request', 'Only files for batches are taken here: "purpose" must be "batch".')
    if (!batches) throw classNotOpen(`${endpoint.method} ${endpoint.path}`, 'batches', call.principal.project)
    if (admitted.route.access !== readFor) throw integrationChanged()
    const headers = headersToForward(deps, call, admitted)
    headers.push('content-length', String(form.file.size))
    const exchanged = await exchange(deps, admitted, {
      breakable: false,
      ask: signal =>
        askProvider(deps, admitted.route, {
          method: 'POST',
          path: upstreamPath(admitted.route, call.match),
          headers,
          body: form.file.open(),
          signal,
        }),
    })
    if (requests && exchanged.answer.status < 300)
      await keep(deps, admitted, readFileId(exchanged.answer.body), {
        ...requests,
        bytes: form.bytes.get('file') ?? 0,
        bound: terms && requests.bound && keptBound(requests.bound, terms),
      })
    await answerExchange(call, admitted, exchanged)
  } catch (error) {
    throw refusalOfAway(error)
  } finally {
    form.file.discard()
  }
}

async function readRequests(
  form: ReceivedForm,
  isShared: boolean,
  terms: BatchTerms | undefined,
): Promise<FileRequests & { bound: BatchBound | undefined }> {
  if (form.files.get('file') !== 1) throw new Refusal('invalid_request', 'The form must hold one "file".')
  const reader = readFileRequests(batchTargets, { isShared })
  const bound = terms && new FileBound(terms)
  await readPart(form, 'file', chunk => {
    reader.write(chunk)
    bound?.write(chunk)
  })
  const requests = reader.end()
  return { ...requests, bound: bound?.total(requests.count) }
}

/** @throws Refusal where it cannot be kept: a file that nobody knows is of no use, and costs nothing */
async function keep(
  deps: GatewayDeps,
  { route, principal, endpoint, admittedAtMs }: AdmittedCall,
  fileId: string,
  requests: FileRequests & { bytes: number; bound: StoredFile['requests']['bound'] },
): Promise<void> {
  const file: StoredFile = {
    project_id: principal.identity.project_id,
    dialect: endpoint.dialect,
    access: route.access,
    file_id: fileId,
    purpose: 'batch',
    created_at_ms: admittedAtMs,
    requests: {
      models: requests.models,
      named_models: requests.named,
      targets: requests.targets,
      count: requests.count,
      size_bytes: requests.bytes,
      ...(requests.bound && { bound: requests.bound }),
    },
  }
  try {
    await deps.batches.files.keep(file)
  } catch (cause) {
    throw new Refusal(
      'metering_unavailable',
      'This gateway cannot record files right now (NATS is away). Upload the file again in a moment.',
      { retryAfterS: 5, cause },
    )
  }
}

function readFileId(body: Buffer): string {
  try {
    const { id } = JSON.parse(body.toString('utf8')) as { id?: unknown }
    if (typeof id === 'string' && id !== '' && id.length <= 256) return id
  } catch {
    // Told as what it is below.
  }
  throw new Refusal('provider_unreachable', 'The provider took the file and gave no id that can be read.')
}
