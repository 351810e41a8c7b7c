import type { UpstreamController, UpstreamHandler } from '../upstream/upstream-handler.ts'
import type { ToldResponse } from './response-object.ts'
import { ResponseFinder } from './response-observer.ts'

/** Events of a stream are a few hundred bytes: one that names no response in so many is none of ours. */
const maxHeldBytes = 4 * 1024 * 1024

/** The relay of a background request: what it is made to wait with, and released from. */
export interface HeldRelay extends UpstreamHandler {
  hold: () => void
  release: () => void
}

/**
 * Holds the reply to a background request back until its response is recorded: whoever has heard of a response can be sure
 * that it will be settled. Until then the request is not given up either, since its provider would work on, under an id that
 * nobody knows. What follows passes at once.
 */
export class BackgroundReply implements UpstreamHandler {
  readonly #next: HeldRelay
  readonly #register: (told: ToldResponse) => Promise<boolean>
  readonly #onTold: (told: ToldResponse) => void
  readonly #finder = new ResponseFinder()
  /** What waits to be passed on, in order; undefined: nothing has to wait any more. */
  #held: (() => void)[] | undefined = []
  #heldBytes = 0
  #registering = false

  /** @param steps.register records the response; resolves when the reply may pass, or with false: it may not, this process ends */
  constructor(
    next: HeldRelay,
    steps: { register: (told: ToldResponse) => Promise<boolean>; onTold: (told: ToldResponse) => void },
  ) {
    this.#next = next
    this.#register = steps.register
    this.#onTold = steps.onTold
  }

  onRequestStart(controller: UpstreamController): void {
    this.#next.onRequestStart(controller)
    this.#next.hold()
  }

  onResponseStart(controller: UpstreamController, status: number, headers: readonly string[]): void {
    this.#finder.start(status, headers)
    this.#pass(() => this.#next.onResponseStart(controller, status, headers))
    if (status !== 200) this.#release()
  }

  onResponseData(controller: UpstreamController, chunk: Buffer): void {
    this.#finder.write(chunk)
    this.#pass(() => this.#next.onResponseData(controller, chunk))
    if (!this.#held || this.#registering) return
    this.#heldBytes += chunk.length
    const told = this.#finder.toldSoFar()
    if (told) {
      controller.pause()
      this.#registerThenRelease(told, () => controller.resume())
    } else if (this.#heldBytes > maxHeldBytes) this.#release()
  }

  onResponseEnd(): void {
    const told = this.#finder.told()
    this.#pass(() => {
      this.#next.onResponseEnd()
      if (told) this.#onTold(told)
    })
    if (!this.#held || this.#registering) return
    if (told) this.#registerThenRelease(told)
    else this.#release()
  }

  onResponseError(controller: UpstreamController | undefined, error: Error): void {
    const told = this.#finder.told()
    this.#pass(() => {
      this.#next.onResponseError(controller, error)
      if (told) this.#onTold(told)
    })
    if (this.#held && !this.#registering) this.#release()
  }

  #pass(step: () => void): void {
    if (this.#held) this.#held.push(step)
    else step()
  }

  #registerThenRelease(told: ToldResponse, then?: () => void): void {
    this.#registering = true
    void this.#register(told).then(isSafe => {
      if (!isSafe) return
      this.#release()
      then?.()
    })
  }

  #release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const step of held) step()
    this.#next.release()
  }
}
