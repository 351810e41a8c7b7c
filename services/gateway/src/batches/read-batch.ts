import type { AdmittedCall } from '../call.ts'
import { askProvider } from '../exchanges/ask-provider.ts'
import { answerExchange, exchange, refusalOfAway } from '../exchanges/exchange.ts'
import { forward } from '../forward.ts'
import { readPlainRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { admit, type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { upstreamPath } from '../resolve-route.ts'
import type { KeptBatch } from '../views/batch-jobs-view.ts'
import { routeOfBatch } from './batch-access.ts'
import { mountOf } from './create-message-batch.ts'
import { withOwnResultsUrl } from './results-url.ts'

/** `GET …/batches/{id}` and `POST …/batches/{id}/cancel`: the batch as its provider has it. @throws Refusal */
export async function readBatch(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const batchId = call.match.parameter ?? ''
  const admitted = admitForBatch(deps, call, await findBatch(deps, call))
  try {
    const exchanged = await exchange(deps, admitted, {
      breakable: call.endpoint.method === 'GET',
      ask: signal => askAbout(deps, call, admitted, signal),
    })
    const { body } = exchanged.answer
    await answerExchange(call, admitted, exchanged, withOwnResultsUrl(call.request, mountOf(call), body, batchId))
  } catch (error) {
    throw refusalOfAway(error)
  }
}

/** `GET …/batches/{id}/results`: the provider's own bytes. Who downloads them, and whether, changes nothing. @throws Refusal */
export async function downloadResults(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const admitted = admitForBatch(deps, call, await findBatch(deps, call))
  forward(deps, admitted, headersToForward(deps, call, admitted), call.response, call.refuse)
}

/**
 * `DELETE …/batches/{id}`: what is deleted at the provider can no longer be settled, so it is settled first.
 * @throws Refusal 503 where that cannot be done now
 */
export async function deleteBatch(deps: GatewayDeps, call: HttpCall): Promise<void> {
  const kept = await findBatch(deps, call)
  admitForBatch(deps, call, kept)
  if (kept.job.state === 'running') {
    const outcome = await deps.batches.poller.look(kept)
    if (outcome === 'failed' || outcome === 'elsewhere')
      throw new Refusal(
        'metering_unavailable',
        'What this batch has cost is not accounted yet, so it is not deleted. Try again in a moment.',
        { retryAfterS: 5 },
      )
    // One that is still being worked on is the provider's to refuse.
  }
  const admitted = admitForBatch(deps, call, kept)
  try {
    const exchanged = await exchange(deps, admitted, {
      breakable: false,
      ask: signal => askAbout(deps, call, admitted, signal),
    })
    await answerExchange(call, admitted, exchanged)
  } catch (error) {
    throw refusalOfAway(error)
  }
}

/** A batch of the caller's own project. Another project's is not there. @throws Refusal 404 */
async function findBatch(deps: GatewayDeps, call: HttpCall): Promise<KeptBatch> {
  const batchId = call.match.parameter ?? ''
  const { project_id: projectId } = call.principal.identity
  const kept = await deps.batches.jobs.find(projectId, call.match.dialect, batchId)
  if (!kept) throw new Refusal('not_found', `There is no batch "${batchId}" in this project.`)
  return kept
}

function admitForBatch(deps: GatewayDeps, call: HttpCall, { job }: KeptBatch): AdmittedCall {
  return { ...admit(deps, call, readPlainRequest(Buffer.alloc(0))), route: routeOfBatch(deps, job) }
}

function askAbout(deps: GatewayDeps, call: HttpCall, admitted: AdmittedCall, signal: AbortSignal) {
  const { route } = admitted
  return askProvider(deps, route, {
    method: call.endpoint.method,
    path: upstreamPath(route, call.match),
    headers: headersToForward(deps, call, admitted),
    signal,
  })
}
