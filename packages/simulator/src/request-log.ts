import { createHash } from 'node:crypto'

/** A request as it arrived, byte for byte, but for its credentials. */
export interface ReceivedRequest {
  readonly id: string
  readonly received_at_ms: number
  readonly method: string
  /** Path and query as sent. */
  readonly target: string
  readonly http_version: string
  /** Names and values in the order and case they came in; credentials as `sha256:<hex>`. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/** A request without its body, of which the hash is told. */
export interface DigestedRequest extends Omit<ReceivedRequest, 'body'> {
  readonly body_sha256: string
}

/** A request as the control interface shows it. */
export interface ShownRequest extends DigestedRequest {
  readonly body_base64: string
  /** The body as text, or null where it is not UTF-8. */
  readonly body: string | null
}

const REQUESTS_KEPT = 5_000
const BYTES_KEPT = 64 * 1024 * 1024
const CREDENTIALS = new Set(['authorization', 'x-api-key', 'proxy-authorization', 'cookie'])

/** The latest requests, bounded in number and bytes. */
export class RequestLog {
  readonly #requests = new Map<string, { received: Omit<ReceivedRequest, 'headers'>; raw: readonly string[] }>()
  #bytes = 0

  add(request: Omit<ReceivedRequest, 'headers'>, rawHeaders: readonly string[]): void {
    this.#requests.set(request.id, { received: request, raw: rawHeaders })
    this.#bytes += request.body.length
    for (const [id, { received }] of this.#requests) {
      // The newest stays, however large.
      if (id === request.id || (this.#requests.size <= REQUESTS_KEPT && this.#bytes <= BYTES_KEPT)) break
      this.#requests.delete(id)
      this.#bytes -= received.body.length
    }
  }

  find(id: string): ShownRequest | undefined {
    const received = this.#requests.get(id)?.received
    const digested = this.digest(id)
    if (received === undefined || digested === undefined) return undefined
    const text = received.body.toString()
    return {
      ...digested,
      body_base64: received.body.toString('base64'),
      body: Buffer.from(text).equals(received.body) ? text : null,
    }
  }

  /** The same without its body. */
  digest(id: string): DigestedRequest | undefined {
    const found = this.#requests.get(id)
    if (found === undefined) return undefined
    const { body, ...rest } = found.received
    const headers: [string, string][] = []
    for (let index = 0; index + 1 < found.raw.length; index += 2) {
      const name = found.raw[index] ?? ''
      const value = found.raw[index + 1] ?? ''
      headers.push([name, shown(name.toLowerCase(), value)])
    }
    return { ...rest, headers, body_sha256: createHash('sha256').update(body).digest('hex') }
  }

  /** Ids of those whose target holds this text, oldest first. */
  ids(text = ''): string[] {
    return [...this.#requests.values()].flatMap(({ received: { id, target } }) => (target.includes(text) ? [id] : []))
  }

  reset(): void {
    this.#requests.clear()
    this.#bytes = 0
  }
}

function shown(name: string, value: string): string {
  if (CREDENTIALS.has(name)) return `sha256:${hashCredential(value)}`
  // A browser's key stands among the subprotocols.
  return name === 'sec-websocket-protocol'
    ? value.replaceAll(
        /(openai-insecure-api-key\.)([^,\s]+)/g,
        (_, prefix, key) => `${prefix}sha256:${hashCredential(key)}`,
      )
    : value
}

/** SHA-256 of a credential, without its scheme, in hex. */
export function hashCredential(value: string): string {
  return createHash('sha256')
    .update(value.replace(/^Bearer\s+/i, ''))
    .digest('hex')
}
