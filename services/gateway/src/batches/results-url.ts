import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { scanObject } from '../scan-json.ts'
import { applySplices } from '../splice-body.ts'

const wanted: ReadonlySet<string> = new Set(['results_url'])
const plainHost = /^[\w.-]+(?::\d{1,5})?$|^\[[\da-fA-F:.]+\](?::\d{1,5})?$/

/**
 * The batch with its `results_url` at this gateway. Clients follow that address with the credential they hold, which is
 * ours, not the provider's: left as it is, they would send it there. Bytes that are no such object stay as they are.
 * @param mount what stands before `/v1` in the client's own path
 */
export function withOwnResultsUrl(request: IncomingMessage, mount: string, body: Buffer, batchId: string): Buffer {
  try {
    const span = scanObject(body, wanted).members.get('results_url')
    if (!span || body[span.start] !== 0x22) return body
    return applySplices(body, [{ ...span, text: JSON.stringify(ownUrl(request, mount, batchId)) }])
  } catch {
    return body
  }
}

/** The results of a batch as this client reaches us; without a usable `Host`, the path alone. */
export function ownUrl(request: IncomingMessage, mount: string, batchId: string): string {
  const path = `${mount}/v1/messages/batches/${batchId}/results`
  const { host } = request.headers
  if (host === undefined || !plainHost.test(host)) return path
  const isTls = (request.socket as TLSSocket).encrypted === true || request.headers['x-forwarded-proto'] === 'https'
  return `${isTls ? 'https' : 'http'}://${host}${path}`
}
