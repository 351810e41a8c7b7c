import type { StreamTap, UsageResult } from '@sluice/usage'
import type { StreamEnding } from '../endings/stream-ending.ts'

/** What a request itself tells of its use: characters to speak, seconds to hear, images to draw. */
export type AskedUsage = Pick<UsageResult, 'quantities' | 'provenance' | 'modifiers'>

/** What is known beside the bytes of a reply. */
export interface ReplyFacts {
  /** Of the request, estimated. */
  inputTokens: number
  asked: AskedUsage | undefined
}

/** What is known beside the bytes of a reply that came whole. */
export interface WholeReplyFacts extends ReplyFacts {
  /** Of a reply above `maxParsedBytes` only the end is kept. */
  wholeBytes: number
  contentType: string
}

/** What is known when a stream begins. */
export interface StreamFacts extends ReplyFacts {
  model: string
  /** The client did not ask for the usage chunk that we had the provider send. */
  withholdUsage: boolean
}

/** A stream's tap together with the way to end that stream. */
export interface StreamReader {
  tap: StreamTap
  end: (ending: StreamEnding) => string
}

/** One kind of reply: how a whole one is read, how a stream is tapped and ended. Never throws on what a provider sends. */
export interface ReplyShape {
  read: (body: Buffer, facts: WholeReplyFacts) => UsageResult
  openStream: (facts: StreamFacts) => StreamReader
}
