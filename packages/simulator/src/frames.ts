import type { ToolsUsed } from './cost.ts'

/** One step of an answer: the SSE text to send (may be empty while the model thinks unseen) and what was produced by it. */
export interface Frame {
  readonly sse: string
  readonly tokens: number
  readonly thinking?: true
  /** So many of its tokens are sound. */
  readonly sound?: number
  readonly tools?: Partial<ToolsUsed>
  /** So many more of what stands beside the answer on the bill are done. */
  readonly beside?: number
  /** From here on the answer only ends: usage and terminal events. */
  readonly closing?: true
}

/** An event without a name, as chat completions send them. */
export function dataEvent(data: string): string {
  return `data: ${data}\n\n`
}

/** An event with a name. */
export function namedEvent(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n\n`
}
