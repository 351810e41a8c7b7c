import type { StreamTap, UsageResult } from '@sluice/usage'
import type { ChatSound } from '../chat-sound.ts'
import type { StreamEnding } from '../endings/stream-ending.ts'

/** What a request itself tells of its use: characters to speak, seconds to hear, images to draw. */
export type AskedUsage = Pick<UsageResult, 'quantities' | 'provenance' | 'modifiers'>

/** What a request for sound or images says of its reply, beside what it uses. */
export interface MediaAsk {
  /** Of sound: `mp3`, `wav`, … */
  format: string | undefined
  /** The client asked for sound alone; we had the provider send events, which tell what it used. */
  unwrap: boolean
  /** Images that a stream shows before the finished one. */
  partialImages: number
  /** Images to be made, where they are sold by the token; else 0: those that are sold by the piece are in what is asked. */
  imagesByToken: number
}

/** What is known beside the bytes of a reply. */
export interface ReplyFacts {
  /** Of the request, estimated. */
  inputTokens: number
  asked: AskedUsage | undefined
  media?: MediaAsk | undefined
  /** Of a chat that sends sound or asks for it. */
  sound?: ChatSound | undefined
}

/** Counts tokens where a provider does not tell them; asked for nothing where it does. Undefined: bytes have to do. */
export interface CountedTokens {
  ofRequest: () => number | undefined
  ofText: (bytes: number, sample: string) => number | undefined
}

/** What is known beside the bytes of a reply that is read as it passes. */
export interface LargeReplyFacts extends ReplyFacts {
  /** Absent: what is not told is told from bytes. */
  tokens?: CountedTokens
}

/** What is known beside the bytes of a reply that came whole. */
export interface WholeReplyFacts extends LargeReplyFacts {
  /** Of a large reply only the end is kept, where its kind has no `openLarge`. */
  wholeBytes: number
  contentType: string
  /** False where it broke off, or was ended by us. */
  isWhole: boolean
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
  /** The client gets what the tap forwards, which is sound of this type and no stream of events. */
  soundType?: string
}

/** Reads a reply as it passes, whatever its size: no byte of it needs to be kept. */
export interface BodyReader {
  write: (chunk: Buffer) => void
  usage: (isWhole: boolean) => UsageResult
}

/** One kind of reply: how a whole one is read, how a stream is tapped and ended. Never throws on what a provider sends. */
export interface ReplyShape {
  read: (body: Buffer, facts: WholeReplyFacts) => UsageResult
  openStream: (facts: StreamFacts) => StreamReader
  /** For replies that are large or no text; they are not given to `read`. */
  openBody?: (facts: ReplyFacts) => BodyReader
  /** For replies that pass as they come, from their first byte on. */
  openLarge?: (facts: LargeReplyFacts) => BodyReader
}
