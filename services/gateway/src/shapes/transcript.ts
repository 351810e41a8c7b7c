import { fromTranscriptBytes, fromTranscription, openTranscriptTap } from '@sluice/usage'
import { endMedia } from '../endings/end-media.ts'
import { parse } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Transcripts and translations: JSON, which tells tokens or seconds, plain text and subtitles, which tell nothing, and events. */
export const transcript: ReplyShape = {
  read(body, { asked, contentType, wholeBytes }) {
    const input = asked?.quantities ?? {}
    const reply = contentType.startsWith('application/json') ? parse(body) : undefined
    if (reply === undefined) return fromTranscriptBytes(input, wholeBytes)
    const usage = fromTranscription(reply)
    // A length beside the text is what is charged where sound is sold by the minute, and there alone.
    const isTold = usage.raw_usage !== null || (usage.quantities.audio_ms_in && input.audio_ms_in !== undefined)
    return isTold ? usage : fromTranscriptBytes(input, textBytesOf(reply))
  },
  openStream({ asked }) {
    return { tap: openTranscriptTap({ input: asked?.quantities ?? {} }), end: endMedia }
  },
}

function textBytesOf(reply: unknown): number {
  const text = (reply as { text?: unknown } | null)?.text
  return typeof text === 'string' ? Buffer.byteLength(text) : 0
}
