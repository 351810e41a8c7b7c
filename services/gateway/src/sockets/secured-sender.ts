interface Held {
  act: () => void
  /** Waits for the journal, not only for what is in front of it. */
  mustSecure: boolean
}

export interface SecuredSenderOptions {
  /** {@link Journal.secured}; undefined: nothing ever waits. */
  secured: (() => Promise<void>) | undefined
  /** Called when something waits, and when nothing does any more. */
  onHeld: (isHeld: boolean) => void
  /** What a client was to hear cannot be secured. */
  onUnsecured: () => void
}

/**
 * What goes to a client, in its order. Where the journal has just been told of something that the next of it speaks of (the
 * first event of a turn, its end), that waits until the journal is as safe as its mode promises, and all behind it too.
 */
export class SecuredSender {
  readonly #options: SecuredSenderOptions
  readonly #held: Held[] = []
  #mustSecure = false

  constructor(options: SecuredSenderOptions) {
    this.#options = options
  }

  get isHolding(): boolean {
    return this.#held.length > 0
  }

  /** What is sent next speaks of what the journal was told just now. */
  readonly secureNext = (): void => {
    this.#mustSecure = this.#options.secured !== undefined
  }

  /** Does it now, or when it may be done. */
  send(act: () => void): void {
    const mustSecure = this.#mustSecure
    this.#mustSecure = false
    if (!mustSecure && this.#held.length === 0) {
      act()
      return
    }
    this.#held.push({ act, mustSecure })
    if (this.#held.length > 1) return
    this.#options.onHeld(true)
    void this.#letGo()
  }

  async #letGo(): Promise<void> {
    const { secured, onHeld, onUnsecured } = this.#options
    try {
      for (let next = this.#held[0]; next; next = this.#held[0]) {
        if (next.mustSecure) await secured?.()
        next.act()
        this.#held.shift()
      }
      onHeld(false)
    } catch {
      this.#held.length = 0
      onUnsecured()
    }
  }
}
