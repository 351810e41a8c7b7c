import type { JsonObject } from '../json.ts'

/** A response that its maker can ask for again. */
export interface Shelved {
  readonly id: string
  /** Responses are seen by the credential that made them. */
  readonly credentialSha256: string
  /** The response object as it stands now. */
  readonly object: () => object
  readonly input: readonly JsonObject[]
  /** A response that is made in the background. */
  readonly run: BackgroundLife | undefined
}

export interface BackgroundLife {
  readonly ended: boolean
  /** Its events behind this sequence number, those that are still to come included. */
  readonly events: (after: number) => AsyncIterable<string>
  /** Stops it; what was produced until then is billed. */
  readonly cancel: () => void
}

const SHELVED_KEPT = 10_000

/** The responses that are kept (`store`), of which the oldest make room. */
export class ResponseShelf {
  readonly #byId = new Map<string, Shelved>()

  add(response: Shelved): void {
    this.#byId.set(response.id, response)
    const [oldest] = this.#byId.keys()
    if (this.#byId.size > SHELVED_KEPT && oldest !== undefined) this.#byId.delete(oldest)
  }

  find(id: string, credentialSha256: string): Shelved | undefined {
    const found = this.#byId.get(id)
    return found?.credentialSha256 === credentialSha256 ? found : undefined
  }

  delete(id: string): void {
    this.#byId.delete(id)
  }

  /** Ends whatever still runs, so that no timer holds the process. */
  close(): void {
    for (const { run } of this.#byId.values()) run?.cancel()
    this.#byId.clear()
  }
}
