import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
/** Of the simulator's tokens. */
const bytesPerToken = 4
const longestTokens = 150_000

let source: Buffer | undefined

/** Program text without a letter that JSON would escape: what sessions of coding agents are full of. */
function readSource(): Buffer {
  if (source) return source
  const files = globSync('{services,packages}/*/src/**/*.ts', { cwd: root, exclude: ['**/node_modules/**'] }).sort()
  const text = files.map(file => readFileSync(join(root, file), 'utf8')).join(' ')
  source = Buffer.from(
    text
      .replaceAll(/["\\]/g, "'")
      .replaceAll(/\s+/g, ' ')
      .replaceAll(/[^\x20-\x7e]/g, '?'),
  )
  return source
}

/** How a session speaks to its model. */
export interface SessionModel {
  path: string
  model: string
  /** Its client always sets a limit; absent: it never does. */
  maxTokens?: number
  /** Its prompt is kept by the provider from one call to the next. */
  isCached: boolean
}

/** The prompt of one session: it grows with each call, by what the call before has read, and begins anew where it is too long. */
export class SessionPrompt {
  readonly #model: SessionModel
  readonly #least: number
  readonly #most: number
  readonly #begin: number
  #tokens: number
  #cachedTokens = 0

  /** @param random decides where in the text it begins, and how far it has come already */
  constructor(model: SessionModel, [least, most]: readonly [number, number], random: () => number) {
    this.#model = model
    this.#least = least
    this.#most = most
    this.#begin = Math.floor(random() * (readSource().length - longestTokens * bytesPerToken))
    this.#tokens = Math.floor(least + random() * (most - least))
  }

  /** The next request of the session. */
  next(outputTokens: number, cadence: string, random: () => number): Buffer {
    const { model, maxTokens, isCached } = this.#model
    const cached = isCached ? Math.min(this.#cachedTokens, this.#tokens) : 0
    const text = readSource().subarray(this.#begin, this.#begin + this.#tokens * bytesPerToken)
    const limit = maxTokens === undefined ? '' : `"max_tokens":${maxTokens},`
    const block = isCached ? ['[{"type":"text","text":"', '","cache_control":{"type":"ephemeral"}}]'] : ['"', '"']
    const order = `[[sim output_tokens=${outputTokens} ${cadence}${cached > 0 ? ` cached=${cached}` : ''}]]`
    const body = Buffer.concat([
      Buffer.from(`{"model":"${model}","stream":true,${limit}"messages":[{"role":"user","content":${block[0]}`),
      text,
      Buffer.from(`${block[1]}},{"role":"assistant","content":"Read."},{"role":"user","content":"Go on. ${order}"}]}`),
    ])
    this.#cachedTokens = this.#tokens
    this.#tokens += Math.floor((this.#most - this.#least) * (0.02 + random() * 0.06))
    if (this.#tokens > this.#most) {
      this.#tokens = this.#least
      this.#cachedTokens = 0
    }
    return body
  }
}
