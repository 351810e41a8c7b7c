import type { Dialect } from '@sluice/contracts'
import { base64Bytes } from '@sluice/usage'
import { mayHaveEscapedNames } from '../escaped-names.ts'
import { findReferences } from '../references/find-references.ts'
import { type BinarySpan, JsonScanError, type MemberSpan, walkJson } from '../scan-json.ts'
import type { ScannedBody } from './scanned-body.ts'
import { countTextBytes } from './text-bytes.ts'

/** What a prompt is made of, as far as its bytes tell. */
export interface PromptSize {
  /** The most tokens that its text can be. */
  textTokens: number
  /** Thoughts of its own, enciphered: they are counted by their bytes alone. */
  cipherTokens: number
  images: number
  /** Sound that is sent in it. */
  audioTokens: number
  /** The provider reads more than stands here: a conversation that it keeps, a file, a page behind a link. */
  isHidden: boolean
}

/** Base64 that the model reads as text: thoughts of its own, enciphered. */
const ciphers: ReadonlySet<string> = new Set(['encrypted_content', 'signature'])

/** Parts that are no text, by their types. */
const partTypes =
  /"type"\s*:\s*"(image_url|input_image|image|computer_screenshot|image_generation_call|redacted_thinking|input_audio|document|file|input_file|container_upload|audio_url|video_url|input_video|item_reference)"/g
const imageTypes: ReadonlySet<string> = new Set([
  'image_url',
  'input_image',
  'image',
  'computer_screenshot',
  'image_generation_call',
])
/** An answer in sound that the provider still has. */
const spokenAnswer = /"audio"\s*:\s*\{/

/** An array of messages, a message, and in it a piece of its content: less deep there are only texts. */
const pieceDepth = 3

/** Measures the prompt of a request for text, without looking into what is text. */
export function measurePrompt(body: ScannedBody, dialect: Dialect, shape: string): PromptSize {
  const { bytes, object } = body
  const { members, binaries } = object
  const size: PromptSize = { textTokens: 0, cipherTokens: 0, images: 0, audioTokens: 0, isHidden: false }
  size.textTokens = object.binaryBytes === 0 ? countTextBytes(bytes) : countAround(bytes, object.binaries)
  if (isGiven(bytes, members.get('previous_response_id')) || isGiven(bytes, members.get('conversation')))
    size.isHidden = true
  const prompt = members.get('prompt')
  if (shape !== 'completion' && prompt && bytes[prompt.start] === openBrace) size.isHidden = true
  const content = members.get(shape === 'responses' || shape === 'compaction' ? 'input' : 'messages')
  if (content && (content.depth ?? pieceDepth) >= (shape === 'chat' || shape === 'messages' ? pieceDepth : 2))
    measureParts(size, body, content, shape)
  const system = members.get('system')
  if (dialect === 'anthropic' && system && (system.depth ?? 0) >= 2) measureParts(size, body, system, shape)
  for (const span of binaries) if (ciphers.has(span.name)) size.cipherTokens += span.end - span.start
  return size
}

function isGiven(bytes: Buffer, span: MemberSpan | undefined): boolean {
  return span !== undefined && bytes[span.start] !== 0x6e
}

const openBrace = 0x7b

function measureParts(size: PromptSize, { bytes, object }: ScannedBody, content: MemberSpan, shape: string): void {
  const { binaries, members } = object
  const span = bytes.subarray(content.start, content.end)
  if (mayHaveEscapedNames(span)) {
    measureEscaped(size, { bytes, object }, content)
    return
  }
  if ((shape === 'responses' || shape === 'compaction') && refersToMore(bytes, content, members.get('tools')))
    size.isHidden = true
  let hasCiphers = false
  let hasSound = false
  eachText(bytes, content, binaries, text => {
    for (const [, type = ''] of text.matchAll(partTypes)) {
      if (imageTypes.has(type)) size.images++
      else if (type === 'redacted_thinking') hasCiphers = true
      else if (type === 'input_audio') hasSound = true
      else size.isHidden = true
    }
    if (shape === 'chat' && spokenAnswer.test(text)) size.isHidden = true
  })
  let pictures = 0
  for (const { start, end, name } of binaries) {
    if (start < content.start || end > content.end || ciphers.has(name)) continue
    if (name === 'data' && hasCiphers) size.cipherTokens += end - start
    if (name === 'data' && hasSound) size.audioTokens += mostSoundTokens(base64Bytes(end - start - 2))
    else pictures++
  }
  // In parts of a type that nobody here knows, too.
  size.images = Math.max(size.images, pictures)
}

/** Parts whose names or types may be written with escapes: each is decoded, and what they carry counts as the most that it can be. */
function measureEscaped(size: PromptSize, { bytes, object }: ScannedBody, content: MemberSpan): void {
  let images = 0
  let hasSound = false
  walkJson(bytes, content, {
    wants: path => path.at(-1) === 'type',
    onText: (_, type) => {
      if (imageTypes.has(type)) images++
      else if (type === 'input_audio') hasSound = true
    },
  })
  size.isHidden = true
  size.images += Math.max(images, object.binaries.length)
  if (hasSound) size.audioTokens += mostSoundTokens(base64Bytes(content.end - content.start))
}

/** Ids that are no text are the provider's to refuse; until then they may stand for anything. */
function refersToMore(body: Buffer, input: MemberSpan, tools: MemberSpan | undefined): boolean {
  try {
    return findReferences({ body, names: 'items-and-tools', input, tools }).length > 0
  } catch (error) {
    if (error instanceof JsonScanError) return true
    throw error
  }
}

/** Sound of the lowest rate that is sent anywhere, 8 kbit/s, at ten tokens a second. */
function mostSoundTokens(bytes: number): number {
  return Math.ceil(bytes / 100)
}

/** The text between long base64, piece by piece. */
function eachText(
  bytes: Buffer,
  { start, end }: MemberSpan,
  binaries: readonly BinarySpan[],
  onText: (text: string) => void,
): void {
  let at = start
  for (const binary of binaries) {
    if (binary.start < at || binary.end > end) continue
    onText(bytes.toString('latin1', at, binary.start))
    at = binary.end
  }
  onText(bytes.toString('latin1', at, end))
}

function countAround(bytes: Buffer, binaries: readonly BinarySpan[]): number {
  let tokens = 0
  let at = 0
  for (const { start, end } of binaries) {
    tokens += countTextBytes(bytes.subarray(at, start))
    at = end
  }
  return tokens + countTextBytes(bytes.subarray(at))
}
