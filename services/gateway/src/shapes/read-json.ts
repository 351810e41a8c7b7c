import { totalOutputTokens } from '@sluice/contracts'
import {
  estimateTokens,
  freeUsage,
  JsonPicker,
  maxBytesPerToken,
  measuredAs,
  notSaid,
  type PickedMembers,
  type SaidText,
  TextSample,
  type UsageResult,
} from '@sluice/usage'
import type { BodyReader, LargeReplyFacts, WholeReplyFacts } from './reply-shape.ts'

/** Above this a JSON body is not parsed whole: what counts of it is picked out as it passes. */
export const maxParsedBytes = 4 * 1024 * 1024
/** How much is kept of the end of one that its kind does not read so. */
export const usageTailBytes = 64 * 1024
/** What is no JSON counts as text up to here: more than the longest answers say. */
export const maxUnreadableBytes = 512 * 1024

/** How a kind of JSON reply is read. */
export interface JsonReply {
  convert: (parsed: unknown) => UsageResult
  /** What `convert` reads, and what is said. */
  members: PickedMembers
  /** Bytes of what was generated, where that is not text that stands in the reply. */
  outputBytes?: (parsed: unknown) => number
  /** The same, from what `members` says of a reply that is not parsed whole. */
  largeOutputBytes?: (bytes: number) => number
}

/**
 * Reads a JSON reply. What its provider does not tell is estimated: the input from the request, the output from what was said.
 */
export function readJson(body: Buffer, facts: WholeReplyFacts, reply: JsonReply): UsageResult {
  const { convert, outputBytes } = reply
  const isAll = facts.wholeBytes <= Math.min(body.length, maxParsedBytes)
  const parsed = isAll ? parse(body) : undefined
  if (parsed === undefined) {
    const reader = openJson(facts, reply)
    reader.write(body)
    return reader.usage(facts.isWhole)
  }
  const text = (): SaidText => (outputBytes ? { bytes: outputBytes(parsed), beginning: '' } : textOf(parsed))
  return usageOf(convert(parsed), text, facts)
}

/** Reads a JSON reply as it passes, whatever its size. One that breaks off is read up to there. */
export function openJson(facts: LargeReplyFacts, { convert, members, largeOutputBytes }: JsonReply): BodyReader {
  const picker = new JsonPicker(members)
  let wholeBytes = 0
  return {
    write(chunk) {
      wholeBytes += chunk.length
      picker.write(chunk)
    },
    usage() {
      const parsed = picker.value()
      if (parsed === undefined && picker.text.bytes === 0) {
        const bytes = members.says ? Math.min(wholeBytes, maxUnreadableBytes) : 0
        return usageOf(freeUsage(), () => ({ bytes, beginning: '' }), facts)
      }
      return readPicked({ parsed, text: picker.text }, { ...facts, wholeBytes }, { convert, largeOutputBytes })
    },
  }
}

/** Reads what was picked out of a reply. */
export function readPicked(
  { parsed, text }: { parsed: unknown; text: SaidText },
  facts: LargeReplyFacts & { wholeBytes: number },
  {
    convert,
    largeOutputBytes,
  }: Pick<JsonReply, 'convert'> & { largeOutputBytes?: JsonReply['largeOutputBytes'] | undefined },
): UsageResult {
  const said = largeOutputBytes ? { bytes: largeOutputBytes(text.bytes), beginning: '' } : text
  return usageOf(convert(parsed), () => said, facts)
}

function usageOf(
  usage: UsageResult,
  text: () => SaidText,
  facts: LargeReplyFacts & { wholeBytes?: number },
): UsageResult {
  if (usage.raw_usage !== null) {
    // Where the usage could be too low for what was said, what was said is looked at.
    const isLow = totalOutputTokens(usage.quantities) * maxBytesPerToken < (facts.wholeBytes ?? 0)
    return isLow ? { ...usage, outputBytes: text().bytes } : usage
  }
  const { bytes, beginning } = text()
  const input = estimateInput(facts.tokens?.ofRequest() ?? facts.inputTokens, facts.sound?.heardTokens)
  const counted = beginning === '' ? undefined : facts.tokens?.ofText(bytes, beginning)
  const output = measuredAs({ out_text: counted ?? estimateTokens(bytes) }, 'estimated')
  return {
    ...usage,
    quantities: { ...usage.quantities, ...input.quantities, ...output.quantities },
    provenance: { ...usage.provenance, ...input.provenance, ...output.provenance },
  }
}

/** What a call is taken to have used where its provider told nothing: its input, marked as an estimate. */
export function estimateInput(tokens: number, heardTokens = 0): UsageResult {
  const estimate: UsageResult = {
    quantities: { in_text: tokens },
    provenance: { in_text: 'estimated' },
    modifiers: {},
    raw_usage: null,
  }
  if (heardTokens > 0) {
    estimate.quantities.in_audio = heardTokens
    estimate.provenance.in_audio = 'estimated'
  }
  return estimate
}

/** What a model has said in a reply of any dialect: text, thinking, arguments of tools. */
export function textOf(reply: unknown): TextSample {
  const { choices, output, content, completion } = (reply ?? {}) as Record<string, unknown>
  const text = new TextSample()
  addText(text, [choices, output, content, completion])
  return text
}

function addText(text: TextSample, value: unknown): void {
  if (typeof value === 'string') text.add(value)
  else if (typeof value === 'object' && value !== null)
    for (const [name, inner] of Object.entries(value)) if (!notSaid.has(name)) addText(text, inner)
}

/** Parses JSON; undefined where it is none. */
export function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
