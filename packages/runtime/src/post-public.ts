import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { isPublicAddress } from './public-address.ts'
import { publicLookup } from './public-lookup.ts'

// Imported as a module, it would load Node's own `fetch` as well.
const { request: requestHttp } = process.getBuiltinModule('node:http')

/** A request to an address that a tenant has named. */
export interface PublicPost {
  url: string
  headers: Readonly<Record<string, string>>
  body: string | Uint8Array
  timeoutMs: number
  /** The operator lets it go to addresses of this network. */
  allowPrivate: boolean
}

/** What became of it: the status of the answer, or why there was none. */
export type PostOutcome =
  | { httpStatus: number }
  | { failure: 'private' | 'timeout' }
  | { failure: 'unreachable'; code: string | undefined }

/**
 * Posts once, and never throws. Every address that a name resolves to is checked and the checked one connected to; no redirect is
 * followed; of the answer nothing but its status is read. The time is that of the whole exchange.
 */
export function postPublic({ url: text, headers, body, timeoutMs, allowPrivate }: PublicPost): Promise<PostOutcome> {
  return new Promise(resolve => {
    const url = new URL(text)
    // An address is not looked up; one that was allowed once may not be any more.
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (!allowPrivate && isIP(host) !== 0 && !isPublicAddress(host)) return resolve({ failure: 'private' })
    const request = url.protocol === 'https:' ? requestHttps : requestHttp
    const sent = request(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        signal: AbortSignal.timeout(timeoutMs),
        agent: false,
        ...(allowPrivate ? {} : { lookup: publicLookup }),
      },
      answer => {
        answer.destroy()
        resolve({ httpStatus: answer.statusCode ?? 0 })
      },
    )
    sent.on('error', error => resolve(failureOf(error)))
    // Whoever switches protocols gives no answer, no error and no end in time.
    sent.on('upgrade', (answer, socket) => {
      socket.destroy()
      resolve({ httpStatus: answer.statusCode ?? 0 })
    })
    sent.on('close', () => resolve({ failure: 'unreachable', code: undefined }))
    sent.end(body)
  })
}

function failureOf(error: NodeJS.ErrnoException): PostOutcome {
  // The signal is the clock's alone.
  if (error.code === 'ABORT_ERR') return { failure: 'timeout' }
  if (error.code === 'EPRIVATEADDRESS') return { failure: 'private' }
  return { failure: 'unreachable', code: error.code }
}
