import { SseFramer } from './sse-framer.ts'
import type { StreamTap, UsageEstimate } from './stream-tap.ts'
import type { UsageResult } from './usage-result.ts'

const nothing: readonly Uint8Array[] = []

/** Watches a stream of server-sent events of which all bytes pass as they come. */
export abstract class PassingTap implements StreamTap {
  readonly #framer = new SseFramer()
  ended = false
  failed = false

  abstract readonly outputBytes: number
  abstract readonly measured: boolean
  abstract observe(data: string): void
  abstract usage(estimate?: UsageEstimate): UsageResult
  /** Takes one event as it came. */
  protected abstract readonly onFrame: (frame: Buffer) => void

  get atEventBoundary(): boolean {
    return this.#framer.atEventBoundary
  }

  write(chunk: Uint8Array): number {
    return this.#framer.push(chunk, this.onFrame)
  }

  eventEndIn(chunk: Uint8Array): number {
    return this.#framer.eventEndIn(chunk)
  }

  forward(chunk: Uint8Array): readonly Uint8Array[] {
    this.write(chunk)
    return [chunk]
  }

  flush(): readonly Uint8Array[] {
    return nothing
  }
}
