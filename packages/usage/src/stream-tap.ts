import { parseJson } from './json-fields.ts'
import type { UsageResult } from './usage-result.ts'

/**
 * Hands the data of an event on. Some proxies lose the blank line between two events: where several lines are no JSON
 * together, each is an event of its own. @returns false where they were taken apart
 */
export function observeData(data: string, observe: (data: string) => void): boolean {
  if (!data.includes('\n') || parseJson(data) !== undefined) {
    observe(data)
    return true
  }
  for (const line of data.split('\n')) observe(line)
  return false
}

/** What is assumed where the provider told no number. */
export interface UsageEstimate {
  /** Input tokens as estimated at admission. Absent: the input side stays unknown. */
  inputTokens?: number
  /** Of sound that was sent, beside them. */
  inputAudioTokens?: number | undefined
  /** Of the text so far, where somebody has counted them; else they are told from its bytes. */
  outputTokens?: number
}

/**
 * Watches a stream beside the relay: bytes in, usage out. Never throws on what a provider sends; what it does not
 * understand passes unseen.
 */
export interface StreamTap {
  /**
   * Takes the next bytes. Returns the index in the chunk behind the last whole event, 0 where no event ends in it: a relay
   * that passes only whole events can end its stream cleanly at any moment.
   */
  write(chunk: Uint8Array): number
  /**
   * Where in the next chunk, which is not taken, the event under way ends: the index behind it, 0 where it does not. A
   * relay that has passed part of an event sends this much more and then ends its stream.
   */
  eventEndIn(chunk: Uint8Array): number
  /**
   * Takes the next bytes and returns those to send, in order. Only a tap that withholds something ever returns other bytes
   * than it was given.
   */
  forward(chunk: Uint8Array): readonly Uint8Array[]
  /** The bytes still held back when the provider has ended the stream. */
  flush(): readonly Uint8Array[]
  /** Takes one event's data, where the transport has frames of its own (WebSocket). */
  observe(data: string): void
  /** Usage of what has been seen. Estimated where the provider has not said it yet. */
  usage(estimate?: UsageEstimate): UsageResult
  /** Bytes of text, tool arguments and thinking so far. */
  readonly outputBytes: number
  /** In so many pieces it came: of text, each is a token at least. Absent where that says nothing. */
  readonly outputPieces?: number
  /** The beginning of that text, at most 1 kB; absent where the stream's text is not what is charged. */
  readonly outputSample?: string
  /** The bytes so far end on an event border. */
  readonly atEventBoundary: boolean
  /** The provider has ended the reply in the dialect's own terms. */
  readonly ended: boolean
  /** The provider has said inside the stream that it failed. */
  readonly failed: boolean
  /** The provider's usage has been seen in full. */
  readonly measured: boolean
}
