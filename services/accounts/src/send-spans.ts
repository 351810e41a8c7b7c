import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { isPublicAddress, publicLookup } from '@sluice/runtime'
import type { FinishedSpan } from '@sluice/telemetry/encode-spans'

// Imported as a module, it would load Node's own `fetch` as well.
const { request: requestHttp } = process.getBuiltinModule('node:http')

/** A collector, with the headers that it wants. */
export interface Collector {
  endpoint: string
  headers: Readonly<Record<string, string>>
}

/** What became of a request to a collector. */
export interface SendOutcome {
  ok: boolean
  message: string
  httpStatus?: number
}

/** Sends spans to a collector, once. Never throws. */
export type SendSpans = (collector: Collector, spans: readonly FinishedSpan[]) => Promise<SendOutcome>

const timeoutMs = 5_000
const notPublic: SendOutcome = { ok: false, message: 'The endpoint leads to an address that is not public.' }

/**
 * OTLP over HTTP. Every address that a name resolves to is checked and the checked one connected to; no redirect is followed; of
 * the answer nothing but its status is read. Nothing of this process goes along: its own exporter's settings are not these.
 */
export function createSendSpans({ allowPrivate }: { allowPrivate: boolean }): SendSpans {
  return async (collector, spans) => {
    // Loaded by whoever sends: most installations never do.
    const { encodeSpans } = await import('@sluice/telemetry/encode-spans')
    return post(collector, encodeSpans('sluice', spans), allowPrivate)
  }
}

function post({ endpoint, headers }: Collector, body: Uint8Array, allowPrivate: boolean): Promise<SendOutcome> {
  return new Promise(resolve => {
    const url = new URL(endpoint)
    // An address is not looked up; one that was allowed once may not be any more.
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (!allowPrivate && isIP(host) !== 0 && !isPublicAddress(host)) return resolve(notPublic)
    const request = url.protocol === 'https:' ? requestHttps : requestHttp
    const sent = request(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/x-protobuf', 'content-length': body.byteLength },
        signal: AbortSignal.timeout(timeoutMs),
        agent: false,
        ...(allowPrivate ? {} : { lookup: publicLookup }),
      },
      answer => {
        const httpStatus = answer.statusCode ?? 0
        answer.destroy()
        const ok = httpStatus >= 200 && httpStatus < 300
        resolve({ ok, httpStatus, message: ok ? 'The collector took it.' : `The collector answered ${httpStatus}.` })
      },
    )
    sent.on('error', error => resolve({ ok: false, message: reasonOf(error) }))
    sent.end(body)
  })
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.name === 'TimeoutError') return `The collector did not answer within ${timeoutMs / 1_000} s.`
  if (error.code === 'EPRIVATEADDRESS') return notPublic.message
  return `The collector could not be reached${error.code === undefined ? '' : ` (${error.code})`}.`
}
