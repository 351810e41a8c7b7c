import { SseFramer } from './sse-framer.ts'
import type { StreamTap } from './stream-tap.ts'
import { freeUsage } from './usage-result.ts'

const nothing: readonly Uint8Array[] = []

/** Watches a stream that costs nothing, whatever it says: only where its events end. */
export function openFreeTap(): StreamTap {
  const framer = new SseFramer()
  const write = (chunk: Uint8Array): number => framer.push(chunk, () => {})
  return {
    write,
    eventEndIn: chunk => framer.eventEndIn(chunk),
    forward(chunk) {
      write(chunk)
      return [chunk]
    },
    flush: () => nothing,
    observe() {},
    usage: () => freeUsage(),
    outputBytes: 0,
    get atEventBoundary() {
      return framer.atEventBoundary
    },
    ended: true,
    failed: false,
    measured: true,
  }
}
