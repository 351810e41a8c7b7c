import type { ShownRequest } from '@sluice/simulator'

/** Which call of a run a line of the provider's bill stands for, by a header that the call has carried. */
export class RunIndex {
  readonly #requests: string
  /** By the provider's id of the request; undefined: one that no call of the run has caused. */
  readonly #runs = new Map<string, string | undefined>()

  constructor(simulatorUrl: string) {
    this.#requests = `${simulatorUrl}/simulator/requests`
  }

  /** Reads what has arrived at the provider since the last time. It keeps the latest 5,000 requests. */
  async read(): Promise<void> {
    const { ids } = (await (await fetch(this.#requests)).json()) as { ids: string[] }
    for (const id of ids) {
      if (this.#runs.has(id)) continue
      const request = (await (await fetch(`${this.#requests}/${id}`)).json()) as ShownRequest
      this.#runs.set(id, request.headers.find(([name]) => name.toLowerCase() === 'x-run')?.[1] || undefined)
    }
  }

  runOf(billId: string): string | undefined {
    return this.#runs.get(requestOf(billId))
  }

  /** It was sent to the provider itself, to be compared with. */
  isTwin(billId: string): boolean {
    return this.#runs.has(requestOf(billId)) && this.runOf(billId) === undefined
  }
}

/** A turn on a socket is billed under the id of its socket and a number. */
function requestOf(billId: string): string {
  return /^req_sim_[^_]+_\d+/.exec(billId)?.[0] ?? billId
}
