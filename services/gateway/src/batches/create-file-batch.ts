import type { AdmittedCall } from '../call.ts'
import { askProvider } from '../exchanges/ask-provider.ts'
import { readBody, readPlainRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { admit, type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { upstreamPath } from '../resolve-route.ts'
import { parseString, scanObject } from '../scan-json.ts'
import { admitRequests } from './admit-requests.ts'
import { scanning } from './batch-requests.ts'
import { boundOfFile } from './bound-requests.ts'
import { batchTargets, openaiBatches } from './openai-batches.ts'
import { payForBatch, termsOf } from './pay-for-batch.ts'
import { answerCreated, recordCreation } from './record-creation.ts'
import { routeOfUpload } from './upload-access.ts'

/**
 * `POST /v1/batches`: of a file that this project has uploaded through us, so that what its requests name is known; their
 * models are allowed and priced now. @throws Refusal
 */
export async function createFileBatch(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const body = await readBody(call.request, call.endpoint, deps.bodyMemory)
  call.response.on('close', () => deps.bodyMemory.release(body.length))
  const { fileId, target } = readAsked(body)
  const upload = await deps.batches.files.find(call.principal.identity.project_id, fileId)
  if (!upload)
    throw new Refusal(
      'not_found',
      `There is no file "${fileId}" of this project: upload the requests through this proxy, with purpose "batch".`,
    )
  const reads = batchTargets[target]
  if (!reads || upload.requests.targets.some(named => named !== target))
    throw new Refusal(
      'invalid_request',
      `The requests of file "${fileId}" are for ${upload.requests.targets.join(', ')}: "endpoint" must say the same.`,
    )
  const { models, named_models: named, count, size_bytes: bytes } = upload.requests
  if (!named)
    throw new Refusal(
      'invalid_request',
      `File "${fileId}" was uploaded before this proxy looked for every model that requests name, for tools, say. Upload it again, and make the batch of the new file.`,
    )
  const admitAll = (): AdmittedCall => {
    const plain = { ...admit(deps, call, readPlainRequest(body)), route: routeOfUpload(deps, call, upload) }
    return admitRequests(deps, call, plain, { models, named }, reads.shape)
  }
  const first = admitAll()
  const admitted = await payForBatch(deps, call, first, budget => boundOfFile(upload, termsOf(first), budget), admitAll)
  const headers = headersToForward(deps, call, admitted)
  const created = await recordCreation(deps, admitted, {
    requests: { models, named, count, bytes, inputFileId: fileId, targetEndpoint: target },
    readStanding: openaiBatches.readStanding,
    ask: signal =>
      askProvider(deps, admitted.route, {
        method: 'POST',
        path: upstreamPath(admitted.route, call.match),
        headers,
        body,
        signal,
      }),
  })
  await answerCreated(call, admitted, created, answer => answer)
}

function readAsked(body: Buffer): { fileId: string; target: string } {
  return scanning(() => {
    const { members } = scanObject(body, new Set(['input_file_id', 'endpoint']))
    const [file, endpoint] = [members.get('input_file_id'), members.get('endpoint')]
    if (!file || !endpoint) throw new Refusal('invalid_request', 'A batch needs "input_file_id" and "endpoint".')
    return { fileId: parseString(body, file), target: parseString(body, endpoint) }
  })
}
