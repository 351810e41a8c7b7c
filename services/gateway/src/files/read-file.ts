import { askProvider } from '../exchanges/ask-provider.ts'
import { answerExchange, exchange, refusalOfAway } from '../exchanges/exchange.ts'
import { forward } from '../forward.ts'
import { readPlainRequest } from '../read-request.ts'
import { Refusal } from '../refusal.ts'
import { type GatewayDeps, type HttpCall, headersToForward } from '../request-path.ts'
import { upstreamPath } from '../resolve-route.ts'
import { findFile } from './find-file.ts'
import { admitForFiles } from './open-files.ts'

/** `GET /v1/files/{file}` and `…/content`: the provider's own bytes. @throws Refusal */
export async function readFile(deps: GatewayDeps, call: HttpCall, ownAccess: string | undefined): Promise<void> {
  const { routeNow } = await findFile(deps, call, ownAccess)
  const admitted = { ...admitForFiles(deps, call, readPlainRequest(Buffer.alloc(0))), route: routeNow() }
  forward(deps, admitted, headersToForward(deps, call, admitted), call.response, call.refuse)
}

/**
 * `DELETE /v1/files/{file}`. Results of a batch are what it is settled from: they stay until it is.
 * @throws Refusal 503 where that cannot be done now
 */
export async function deleteFile(deps: GatewayDeps, call: HttpCall, ownAccess: string | undefined): Promise<void> {
  const { routeNow, batch } = await findFile(deps, call, ownAccess)
  if (batch?.job.state === 'running' && (await deps.batches.poller.look(batch)) !== 'settled')
    throw new Refusal(
      'metering_unavailable',
      'What the batch of this file has cost is not accounted yet, so the file is not deleted. Try again in a moment.',
      { retryAfterS: 5 },
    )
  const admitted = { ...admitForFiles(deps, call, readPlainRequest(Buffer.alloc(0))), route: routeNow() }
  const { route } = admitted
  const headers = headersToForward(deps, call, admitted)
  try {
    const exchanged = await exchange(deps, admitted, {
      breakable: false,
      ask: signal =>
        askProvider(deps, route, { method: 'DELETE', path: upstreamPath(route, call.match), headers, signal }),
    })
    await answerExchange(call, admitted, exchanged)
  } catch (error) {
    throw refusalOfAway(error)
  }
}
