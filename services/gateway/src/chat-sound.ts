import type { QuantityName } from '@sluice/contracts'
import { base64Bytes, heardTokens, soundHeadBytes, soundMs } from '@sluice/usage'
import { mayHaveEscapedNames } from './escaped-names.ts'
import { JsonScanError, type MemberSpan, type ScannedObject, walkJson } from './scan-json.ts'

/** What a chat request tells of sound. */
export interface ChatSound {
  /** What its model must have a rate for. */
  names: readonly QuantityName[]
  /** Pieces of sound that it sends, and the tokens that they amount to. */
  parts: number
  heardTokens: number
  /** It is to be answered in sound of this format, as far as that is told. */
  speaks: boolean
  format: string | undefined
}

/**
 * Reads what a chat request sends of sound, and whether it asks to be answered in it; undefined where it does neither.
 * @throws JsonScanError
 */
export function soundOfChat(body: Buffer, { members, binaries }: ScannedObject): ChatSound | undefined {
  const speaks = asksForSound(body, members.get('modalities'))
  const messages = members.get('messages')
  const isSent = messages !== undefined && sendsSound(body, messages)
  if (!isSent && !speaks) return undefined
  const names: QuantityName[] = []
  if (isSent) names.push('in_audio')
  if (speaks) names.push('out_audio')
  // Pictures and files are in members of other names; what is shorter counts as text.
  const sent = isSent ? binaries.filter(span => span.name === 'data' && isInside(span, messages)) : []
  const tokens = sent.reduce((total, span) => total + heardTokens(lengthOf(body, span)), 0)
  const format = speaks ? formatOf(body, members.get('audio')) : undefined
  return { names, parts: sent.length, heardTokens: tokens, speaks, format }
}

/** Longer ones no client means. */
const maxMemberBytes = 1_024

/** What is too long to be a list of modalities is taken to ask for all of them. */
function asksForSound(body: Buffer, span: MemberSpan | undefined): boolean {
  if (!span) return false
  if (span.end - span.start > maxMemberBytes) return true
  const asked = parse(body, span)
  return asked === 'audio' || (Array.isArray(asked) && asked.includes('audio'))
}

function formatOf(body: Buffer, span: MemberSpan | undefined): string | undefined {
  if (!span || span.end - span.start > maxMemberBytes) return undefined
  const { format } = (parse(body, span) ?? {}) as { format?: unknown }
  if (typeof format !== 'string') return undefined
  return format === 'pcm16' ? 'pcm' : format
}

/** @throws JsonScanError */
function parse(body: Buffer, { start, end }: MemberSpan): unknown {
  try {
    return JSON.parse(body.toString('utf8', start, end))
  } catch {
    throw new JsonScanError('The body is not valid JSON.')
  }
}

const soundType = 'input_audio'
/** An array of messages, a message, and in it a piece of its content: less deep there are only texts. */
const pieceDepth = 3

/** Most chats are texts alone. Of the others a native search says no for nearly all: the rest is walked. */
function sendsSound(body: Buffer, span: MemberSpan): boolean {
  if (span.depth !== undefined && span.depth < pieceDepth) return false
  const messages = body.subarray(span.start, span.end)
  if (!messages.includes(`"${soundType}"`) && !mayHaveEscapedNames(messages)) return false
  let isSent = false
  walkJson(body, span, {
    wants: path => path.at(-1) === 'type',
    onText: (_, text) => {
      if (text === soundType) isSent = true
    },
  })
  return isSent
}

function isInside({ start, end }: MemberSpan, outer: MemberSpan): boolean {
  return start >= outer.start && end <= outer.end
}

/** In milliseconds, by the header of a WAV file or of the first frame of an MP3; else at 64 kbit/s. */
function lengthOf(body: Buffer, span: MemberSpan): number {
  const bytes = base64Bytes(span.end - span.start - 2)
  const head = decode(body, span, 0)
  const tag = tagBytes(head)
  return soundMs(bytes - tag, tag === 0 ? head : decode(body, span, tag), 'opus')
}

/** Of base64, from so many of its bytes on. */
function decode(body: Buffer, { start, end }: MemberSpan, from: number): Buffer {
  const group = Math.floor(from / 3)
  const at = start + 1 + group * 4
  const text = body.toString('latin1', at, Math.min(end - 1, at + Math.ceil(soundHeadBytes / 3 + 1) * 4))
  return Buffer.from(text, 'base64').subarray(from - group * 3)
}

/** Of the ID3 tag that an MP3 may begin with. */
function tagBytes(head: Buffer): number {
  if (head.toString('latin1', 0, 3) !== 'ID3' || head.length < 10) return 0
  return 10 + head.subarray(6, 10).reduce((size, byte) => size * 128 + (byte & 0x7f), 0)
}
