/** What a relay does with the answer to a client: a ServerResponse is one. */
export interface Answer {
  readonly writableFinished: boolean
  on: (event: 'close' | 'drain', listener: () => void) => unknown
  writeHead: (status: number, headers: string[]) => unknown
  flushHeaders: () => void
  /** False: the next bytes are to wait for `drain`. */
  write: (bytes: Uint8Array) => boolean
  end(bytes?: Uint8Array | string, encoding?: BufferEncoding): unknown
  destroy: () => unknown
}

/**
 * An answer whose first byte waits until what the journal knows of its call is secured; then it is the answer itself. Where
 * that cannot be, the connection breaks: what a client has seen is on record.
 */
export class SecuredAnswer implements Answer {
  readonly #answer: Answer
  readonly #secured: () => Promise<void>
  readonly #onDrain: (() => void)[] = []
  /** What waits, in order; undefined once it is out. */
  #held: (() => unknown)[] | undefined = []

  constructor(answer: Answer, secured: () => Promise<void>) {
    this.#answer = answer
    this.#secured = secured
  }

  get writableFinished(): boolean {
    return this.#answer.writableFinished
  }

  on(event: 'close' | 'drain', listener: () => void): void {
    if (event === 'drain') this.#onDrain.push(listener)
    this.#answer.on(event, listener)
  }

  writeHead(status: number, headers: string[]): void {
    this.#answer.writeHead(status, headers)
  }

  flushHeaders(): void {
    this.#answer.flushHeaders()
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#held) return this.#answer.write(bytes)
    if (this.#held.length === 0) this.#secured().then(this.#letGo, () => this.#answer.destroy())
    this.#held.push(() => this.#answer.write(bytes))
    return false
  }

  end(bytes?: Uint8Array | string, encoding?: BufferEncoding): void {
    const end = (): unknown => (encoding === undefined ? this.#answer.end(bytes) : this.#answer.end(bytes, encoding))
    // Where nothing was written before, the end has a CLOSE of its own to wait for, or is an error.
    if (this.#held && this.#held.length > 0) this.#held.push(end)
    else end()
  }

  destroy(): void {
    this.#answer.destroy()
  }

  readonly #letGo = (): void => {
    const held = this.#held ?? []
    this.#held = undefined
    let mayGoOn: unknown = true
    for (const act of held) mayGoOn = act()
    if (mayGoOn === true) for (const listener of this.#onDrain) listener()
  }
}
