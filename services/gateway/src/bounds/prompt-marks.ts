import { createHash } from 'node:crypto'
import { elementsOf, type MemberSpan, textAt } from '../scan-json.ts'
import type { TextCall } from './call-bound.ts'

/** A place in a request up to which another one may be the same. */
export interface PromptMark {
  /** Offset in the body. */
  end: number
  /** Names all that stands before it in its messages, and all that stands around them. */
  key: string
}

/** From one mark to the next: what is behind the last one that is known counts by its bytes. */
const stepBytes = 4 * 1024
/** More than any session has: millions of empty ones would keep everybody else waiting. */
const mostMessages = 16_384
/** 132 bits of it: nobody finds two texts of one key. */
const keyLength = 22

/** The messages of a request, or what stands in their place; undefined: it has none. */
export function messagesOf({ endpoint, body: { bytes, object } }: TextCall): MemberSpan | undefined {
  const span = object.members.get(endpoint.shape === 'responses' ? 'input' : 'messages')
  return span && bytes[span.start] === openBracket ? span : undefined
}

const openBracket = 0x5b

/**
 * Marks a request at ends of its messages, and inside of a long one that is nothing but its text. Whoever shares a mark with it has
 * the same beginning, byte by byte, and the same around its messages; nothing of it is kept.
 * @param owner whose marks they are: those of others are never the same
 */
export function markPrompt(
  { body: { bytes } }: TextCall,
  messages: MemberSpan,
  owner: readonly string[],
): PromptMark[] {
  const before = bytes.subarray(0, messages.start)
  const behind = bytes.subarray(messages.end)
  const hash = createHash('sha256')
    .update(JSON.stringify([...owner, before.length, behind.length]))
    .update(before)
    .update(behind)
  let from = messages.start
  return placesOf(bytes, messages).map(end => {
    hash.update(bytes.subarray(from, end))
    from = end
    return { end, key: hash.copy().digest('base64url').slice(0, keyLength) }
  })
}

/** Told by what stands before each alone: a prompt that goes on has the marks that it had. */
function placesOf(bytes: Buffer, messages: MemberSpan): number[] {
  const places: number[] = []
  let last = messages.start
  const place = (at: number): void => {
    if (at - last < stepBytes) return
    places.push(at)
    last = at
  }
  let looked = 0
  for (const message of elementsOf(bytes, messages)) {
    if (looked++ === mostMessages) break
    const text = message.end - message.start < 2 * stepBytes ? undefined : onlyText(bytes, message)
    if (text) for (let at = text.start + stepBytes; at < text.end; at += stepBytes) place(at)
    place(message.end)
  }
  return places
}

const headLength = 128
const head =
  /^\{\s*"role"\s*:\s*"\w+"\s*,\s*"content"\s*:\s*(?:\[\s*\{\s*"type"\s*:\s*"(?:input_)?text"\s*,\s*"text"\s*:\s*)?"/
const tail = /^"\s*(?:\}|(?:,\s*"cache_control"\s*:\s*\{[^{}]*\}\s*)?\}\s*\]\s*\})$/

/**
 * The text of a message that is nothing else. Of any other nothing is told by its beginning: what stands behind may take it back, as a
 * member that is written twice does.
 */
function onlyText(bytes: Buffer, { start, end }: MemberSpan): MemberSpan | undefined {
  const [found] = head.exec(bytes.toString('latin1', start, start + headLength)) ?? []
  if (found === undefined) return undefined
  const text = textAt(bytes, start + found.length - 1)
  return end - text.end <= headLength && tail.test(bytes.toString('latin1', text.end, end)) ? text : undefined
}
