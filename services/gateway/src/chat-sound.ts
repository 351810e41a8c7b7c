import type { QuantityName } from '@sluice/contracts'
import { base64Bytes, heardTokens, soundHeadBytes, soundMs } from '@sluice/usage'
import type { MemberSpan, ScannedObject } from './scan-json.ts'

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

/** Reads what a chat request sends of sound, and whether it asks to be answered in it; undefined where it does neither. */
export function soundOfChat(body: Buffer, { members, binaries }: ScannedObject): ChatSound | undefined {
  const sent = binaries.filter(span => isSound(body, span))
  const speaks = textOf(body, members.get('modalities')).includes('"audio"')
  if (sent.length === 0 && !speaks) return undefined
  const names: QuantityName[] = []
  if (sent.length > 0) names.push('in_audio')
  if (speaks) names.push('out_audio')
  let tokens = 0
  for (const span of sent) tokens += heardTokens(lengthOf(body, span))
  const format = /"format"\s*:\s*"(\w+)"/.exec(textOf(body, members.get('audio')))?.[1]
  return { names, parts: sent.length, heardTokens: tokens, speaks, format: format === 'pcm16' ? 'pcm' : format }
}

/** Longer members say nothing that is looked for. */
const maxMemberBytes = 1_024

function textOf(body: Buffer, span: MemberSpan | undefined): string {
  return span ? body.toString('latin1', span.start, Math.min(span.end, span.start + maxMemberBytes)) : ''
}

/** What stands before the data of a piece of sound. */
const opening = /"input_audio"\s*:\s*\{\s*(?:"format"\s*:\s*"[^"]*"\s*,\s*)?"data"\s*:\s*$/
const maxOpeningBytes = 256

function isSound(body: Buffer, { start }: MemberSpan): boolean {
  return opening.test(body.toString('latin1', Math.max(0, start - maxOpeningBytes), start))
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
