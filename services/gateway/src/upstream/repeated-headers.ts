import { firstLines, headerLines } from './encode-request.ts'
import type { UpstreamRequest } from './upstream-handler.ts'

/** Headers that many requests have: what is written of them is made once. */
export class RepeatedHeaders {
  /** Name, value, name, value … */
  readonly flat: readonly string[]
  /** As they are written; undefined where they cannot stand in a request. */
  readonly lines: string | undefined
  /** What the last request with them began with. */
  #last: { host: string; method: string; path: string; text: string } | undefined

  constructor(flat: readonly string[]) {
    this.flat = flat
    this.lines = headerLines(flat)
  }

  /** {@link firstLines} of a request with them. */
  firstOf(host: string, { method, path }: Pick<UpstreamRequest, 'method' | 'path'>): string | undefined {
    const last = this.#last
    if (last && last.path === path && last.method === method && last.host === host) return last.text
    const lines = firstLines(host, { method, path, headers: this })
    if (lines === undefined) return undefined
    // In one piece: what is put together of others is slow to write.
    const text = Buffer.from(lines, 'latin1').toString('latin1')
    this.#last = { host, method, path, text }
    return text
  }
}
