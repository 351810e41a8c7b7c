import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { BatchShop } from './batch-shop.ts'
import type { Bill, BillRecord } from './bill.ts'
import type { ContainerShelf } from './container-shelf.ts'
import type { JsonObject } from './json.ts'
import type { FileShelf } from './openai/file-shelf.ts'
import type { ResponseShelf } from './openai/response-shelf.ts'
import type { ClientSecret, ClientSecrets } from './sockets/client-secrets.ts'
import type { RealtimeCalls } from './sockets/realtime-calls.ts'

export type Dialect = 'openai' | 'anthropic'

/** One request on its way through the simulator. */
export interface Call {
  readonly id: string
  readonly dialect: Dialect
  /** The path without prefix and query, e.g. `/v1/messages`. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: JsonObject
  /** As it came: a form is read from it. */
  readonly bytes: Buffer
  readonly reply: ServerResponse
  readonly bill: Bill
  /** The bill record of a billable endpoint. */
  readonly record: BillRecord | undefined
  /** How often each retried scenario was seen (`times=`). */
  readonly attempts: Map<string, number>
  readonly batches: BatchShop
  readonly realtimeCalls: RealtimeCalls
  readonly responses: ResponseShelf
  readonly containers: ContainerShelf
  readonly files: FileShelf
  readonly clientSecrets: ClientSecrets
  /** What an ephemeral credential was made for. */
  readonly clientSecret: ClientSecret | undefined
  readonly credentialSha256: string
}

/** Answers with JSON. */
export function sendJson(call: Call, status: number, body: unknown, headers: { [name: string]: string } = {}): void {
  const text = JSON.stringify(body)
  call.reply.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...replyHeaders(call),
    ...headers,
  })
  call.reply.end(text)
}

/** What every reply of a provider carries beside its content type. */
export function replyHeaders(call: Call): { [name: string]: string } {
  return call.dialect === 'openai'
    ? {
        'x-request-id': call.id,
        'openai-version': '2020-10-01',
        'openai-organization': 'sluice-simulator',
        'openai-processing-ms': '1',
        'x-simulator': 'sluice',
      }
    : { 'request-id': call.id, 'anthropic-organization-id': 'sluice-simulator', 'x-simulator': 'sluice' }
}
