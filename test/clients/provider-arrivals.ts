import { eventually } from '@sluice/test-env'

/** The header in which a test's call is named: it goes through to the provider, as the tags do not. */
export const caseHeader = 'x-test-case'

/** Which calls have come to the provider, by the names that their clients gave them. */
export class ProviderArrivals {
  readonly #requests: string
  readonly #seen = new Set<string>()
  readonly #arrived = new Set<string>()
  #looking: Promise<void> | undefined

  private constructor(simulatorUrl: string) {
    this.#requests = `${simulatorUrl}/simulator/requests`
  }

  /** Those that come from now on: what came before is not looked into. */
  static async fromNowOn(simulatorUrl: string): Promise<ProviderArrivals> {
    const arrivals = new ProviderArrivals(simulatorUrl)
    for (const id of await arrivals.#ids()) arrivals.#seen.add(id)
    return arrivals
  }

  /** Resolves when the provider has all of the call's request, and works on it. */
  async of(name: string): Promise<void> {
    await eventually(
      async () => {
        if (!this.#arrived.has(name)) await this.#lookOnce()
        return this.#arrived.has(name)
      },
      { message: `${name} at the provider`, intervalMs: 50 },
    )
  }

  /** However many wait, one looks. */
  #lookOnce(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    await Promise.all(
      (await this.#ids())
        .filter(id => !this.#seen.has(id))
        .map(async id => {
          const answer = await fetch(`${this.#requests}/${id}?digest`)
          const { headers } = (await answer.json()) as { headers: [string, string][] }
          this.#seen.add(id)
          for (const [name, value] of headers) if (name.toLowerCase() === caseHeader) this.#arrived.add(value)
        }),
    )
  }

  async #ids(): Promise<string[]> {
    return ((await (await fetch(this.#requests)).json()) as { ids: string[] }).ids
  }
}
