import type { AdmittedCall } from '../call.ts'
import { askProvider } from '../exchanges/ask-provider.ts'
import { integrationChanged } from '../integration-changed.ts'
import { readPlainRequest } from '../read-request.ts'
import { admit, type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { upstreamPath } from '../resolve-route.ts'
import { receiveIntoFile } from '../uploads/receive-body.ts'
import { admitRequests } from './admit-requests.ts'
import { anthropicBatches } from './anthropic-batches.ts'
import { readMessageRequests } from './batch-requests.ts'
import { boundMessageRequests } from './bound-requests.ts'
import { payForBatch, termsOf } from './pay-for-batch.ts'
import { answerCreated, recordCreation } from './record-creation.ts'
import { withOwnResultsUrl } from './results-url.ts'

/**
 * `POST /v1/messages/batches`: every request's model is allowed and priced before one byte goes on; the batch is recorded
 * before its maker hears of it, and its results are settled by our own poller.
 * @throws Refusal
 */
export async function createMessageBatch(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const { access: readFor } = deps.routes.resolve(
    call.principal.project,
    call.match.dialect,
    call.principal.identity.team_id,
  )
  const reader = readMessageRequests({ isShared: readFor === 'managed' })
  const waitingSince = performance.now()
  const { file: body, read: requests } = await receiveIntoFile(deps.spool, call.request, call.endpoint.maxBodyBytes, {
    write: reader.write,
    finish: reader.end,
  })
  try {
    call.startedAt += performance.now() - waitingSince
    const admitAll = (): AdmittedCall => {
      const plain = admit(deps, call, readPlainRequest(Buffer.alloc(0)))
      const all = admitRequests(deps, call, plain, requests, 'messages')
      if (all.route.access !== readFor) throw integrationChanged()
      return all
    }
    const first = admitAll()
    const boundOf = () => boundMessageRequests(body.open(), termsOf(first), requests.count)
    const admitted = await payForBatch(deps, call, first, boundOf, admitAll)
    const headers = headersToForward(deps, call, admitted)
    headers.push('content-length', String(body.size))
    const created = await recordCreation(deps, admitted, {
      requests: { ...requests, bytes: body.size },
      workspaceId: headerOf(headers, 'anthropic-workspace-id'),
      readStanding: anthropicBatches.readStanding,
      ask: signal =>
        askProvider(deps, admitted.route, {
          method: 'POST',
          path: upstreamPath(admitted.route, call.match),
          headers,
          body: body.open(),
          signal,
        }),
    })
    await answerCreated(call, admitted, created, (answer, batchId) =>
      withOwnResultsUrl(call.request, mountOf(call), answer, batchId),
    )
  } finally {
    body.discard()
  }
}

/** What stands before `/v1` in the client's own path. */
export function mountOf({ request, match }: Pick<HttpCall, 'request' | 'match'>): string {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  return path.slice(0, path.length - match.path.length)
}

/** Of a flat list of names and values. */
function headerOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((part, index) => index % 2 === 0 && part.toLowerCase() === name)
  return at < 0 ? undefined : headers[at + 1]
}
