import type { IncomingHttpHeaders } from 'node:http'
import type { ServerOptions } from 'ws'
import * as ws from 'ws'
import { Refusal } from '../refusal.ts'

/** What `ws` exports and its types leave out: how it reads the offers of a handshake. */
interface Negotiation {
  extension: { parse: (header: string) => Record<string, object[] | undefined> }
  PerMessageDeflate: new (options: object) => { accept: (offers: readonly object[]) => unknown }
  subprotocol: { parse: (header: string) => Set<string> }
}
const { extension, PerMessageDeflate, subprotocol } = ws as unknown as Negotiation

/**
 * Refuses a handshake whose lists of subprotocols or extensions cannot be taken, before a provider is asked for its sake: by the
 * code that would refuse it afterwards. @throws Refusal 400
 */
export function requireNegotiable(headers: IncomingHttpHeaders, deflate: ServerOptions['perMessageDeflate']): void {
  const { 'sec-websocket-protocol': protocols, 'sec-websocket-extensions': extensions } = headers
  refuseWhatThrows('Sec-WebSocket-Protocol', () => protocols !== undefined && subprotocol.parse(protocols))
  refuseWhatThrows('Sec-WebSocket-Extensions', () => {
    const offers = extensions === undefined ? undefined : extension.parse(extensions)['permessage-deflate']
    if (offers) new PerMessageDeflate({ ...Object(deflate), isServer: true }).accept(offers)
  })
}

function refuseWhatThrows(header: string, read: () => unknown): void {
  try {
    read()
  } catch {
    throw new Refusal(
      'invalid_request',
      `The handshake's ${header} is malformed, names something twice, or asks for what is not to be had.`,
    )
  }
}
