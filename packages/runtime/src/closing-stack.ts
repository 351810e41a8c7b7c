import { flushCompileCache } from 'node:module'
import type { Logger } from 'pino'

type Close = () => Promise<void> | void
interface Closable {
  close: Close
}

/** What a process has opened, closed in reverse order on SIGTERM, SIGINT or a failed task. */
export class ClosingStack {
  readonly #closes: { name: string; close: Close }[] = []
  readonly #log: Logger | undefined
  #closing: Promise<void> | undefined
  #stop: ((reason: string) => void) | undefined
  #stopReason: string | undefined

  constructor(log?: Logger) {
    this.#log = log
  }

  /** Registers a resource and hands it back. */
  use<T extends Closable>(resource: T, name = resource.constructor.name): T {
    this.#closes.push({ name, close: () => resource.close() })
    return resource
  }

  /** Registers a closing step. */
  defer(name: string, close: Close): void {
    this.#closes.push({ name, close })
  }

  /** Ends `untilSignal`, as a signal would, also where it is only waited for later. */
  stop(reason: string): void {
    this.#stopReason = reason
    this.#stop?.(reason)
  }

  /** Closes everything, last opened first. A step that fails is logged; the others still run. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const { name, close } of this.#closes.reverse()) {
        try {
          await close()
        } catch (err) {
          this.#log?.error({ err, resource: name }, 'closing failed')
        }
      }
    })()
    return this.#closing
  }

  /** Waits for SIGTERM, SIGINT or `stop`, then closes. */
  async untilSignal(): Promise<void> {
    // What was compiled for this start is kept now: whoever is killed would compile it again at the next, and the one after.
    flushCompileCache()
    const reason = await new Promise<string>(resolve => {
      this.#stop = resolve
      if (this.#stopReason !== undefined) resolve(this.#stopReason)
      process.once('SIGTERM', () => resolve('SIGTERM'))
      process.once('SIGINT', () => resolve('SIGINT'))
    })
    this.#log?.info({ reason }, 'stopping')
    await this.close()
    this.#log?.info('stopped')
  }
}
