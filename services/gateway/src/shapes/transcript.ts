import { fromTranscriptBytes, fromTranscription, JsonPicker, openTranscriptTap, saidIn } from '@sluice/usage'
import { endMedia } from '../endings/end-media.ts'
import { parse } from './read-json.ts'
import type { ReplyShape } from './reply-shape.ts'

/** Transcripts and translations: JSON, which tells tokens or seconds, plain text and subtitles, which tell nothing, and events. */
export const transcript: ReplyShape = {
  read(body, { asked, contentType, wholeBytes }) {
    const input = asked?.quantities ?? {}
    const isJson = contentType.startsWith('application/json')
    const reply = isJson ? parse(body) : undefined
    if (reply === undefined)
      return fromTranscriptBytes(input, isJson && wholeBytes === body.length ? brokenTextBytes(body) : wholeBytes)
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

/** Of JSON that broke off: as much of its text as came. */
function brokenTextBytes(body: Buffer): number {
  const picker = new JsonPicker({ members: {}, says: saidIn('text') })
  picker.write(body)
  return picker.text.bytes
}
