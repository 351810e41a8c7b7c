import { randomBytes } from 'node:crypto'

/** For how long a container is kept that nobody uses. */
const IDLE_MS = 20 * 60_000
const MINUTE_MS = 60_000
/** It is charged for at least so long. */
const LEAST_MINUTES = 5
const KEPT = 10_000

interface Container {
  readonly credentialSha256: string
  readonly memoryGb: number
  readonly startedAtMs: number
  usedAtMs: number
  billedMinutes: number
}

/** What a use of a container is charged for. */
export interface ContainerUse {
  readonly id: string
  readonly gbMinutes: number
}

/** Containers that code runs in: charged by the minute from their start to their last use, in advance for the first five. */
export class ContainerShelf {
  readonly #containers = new Map<string, Container>()
  readonly #ofResponses = new Map<string, string>()

  /** Makes one, and charges its first minutes. */
  make(credentialSha256: string, memoryGb: number, nowMs: number): ContainerUse {
    const id = `cntr_${randomBytes(12).toString('hex')}`
    this.#containers.set(id, {
      credentialSha256,
      memoryGb,
      startedAtMs: nowMs,
      usedAtMs: nowMs,
      billedMinutes: LEAST_MINUTES,
    })
    for (const oldest of this.#containers.keys()) {
      if (this.#containers.size <= KEPT) break
      this.#containers.delete(oldest)
    }
    return { id, gbMinutes: LEAST_MINUTES * memoryGb }
  }

  /** Uses one again; nothing where it is gone or never was. */
  use(id: string, credentialSha256: string, nowMs: number): ContainerUse | undefined {
    const container = this.#containers.get(id)
    if (container?.credentialSha256 !== credentialSha256 || nowMs - container.usedAtMs >= IDLE_MS) return undefined
    container.usedAtMs = nowMs
    const lived = Math.ceil((nowMs - container.startedAtMs) / MINUTE_MS)
    const more = Math.max(0, lived - container.billedMinutes)
    container.billedMinutes += more
    return { id, gbMinutes: more * container.memoryGb }
  }

  /** A response that goes on from this one goes on in its container. */
  remember(responseId: string, containerId: string): void {
    this.#ofResponses.set(responseId, containerId)
    for (const oldest of this.#ofResponses.keys()) {
      if (this.#ofResponses.size <= KEPT) break
      this.#ofResponses.delete(oldest)
    }
  }

  ofResponse(responseId: string): string | undefined {
    return this.#ofResponses.get(responseId)
  }
}
