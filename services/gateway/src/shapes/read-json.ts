import { totalOutputTokens } from '@sluice/contracts'
import { estimateTokens, freeUsage, maxBytesPerToken, measuredAs, type UsageResult } from '@sluice/usage'
import type { WholeReplyFacts } from './reply-shape.ts'

/** Above this a JSON body is not parsed whole: only its usage object is looked for at its end. */
export const maxParsedBytes = 4 * 1024 * 1024
/** How much of the end is looked at then. */
export const usageTailBytes = 64 * 1024

/**
 * Reads a JSON reply by a converter. What its provider does not tell is estimated: the input from the request, the output
 * from what was said.
 * @param body the reply, or its end where it is larger than `maxParsedBytes`
 * @param options.outputBytes bytes of what was generated, where that is not text that stands in the reply
 */
export function readJson(
  body: Buffer,
  facts: WholeReplyFacts,
  convert: (parsed: unknown) => UsageResult,
  options: { outputBytes?: (parsed: unknown) => number } = {},
): UsageResult {
  const parsed = facts.wholeBytes > maxParsedBytes ? parseTail(body) : parse(body)
  const usage = parsed === undefined ? freeUsage() : convert(parsed)
  const bytesOf = options.outputBytes ?? outputBytesOf
  if (usage.raw_usage !== null) {
    // Where the usage could be too low for what was said, what was said is looked at.
    const isLow = totalOutputTokens(usage.quantities) * maxBytesPerToken < facts.wholeBytes
    return isLow && parsed !== undefined ? { ...usage, outputBytes: bytesOf(parsed) } : usage
  }
  const input = estimateInput(facts.inputTokens)
  // A reply that cannot be read is all output: its client has had it.
  const outputBytes = parsed === undefined ? facts.wholeBytes : bytesOf(parsed)
  const output = measuredAs({ out_text: estimateTokens(outputBytes) }, 'estimated')
  return {
    ...usage,
    quantities: { ...usage.quantities, ...input.quantities, ...output.quantities },
    provenance: { ...usage.provenance, ...input.provenance, ...output.provenance },
  }
}

/** What a call is taken to have used where its provider told nothing: its input, marked as an estimate. */
export function estimateInput(tokens: number): UsageResult {
  return { quantities: { in_text: tokens }, provenance: { in_text: 'estimated' }, modifiers: {}, raw_usage: null }
}

/** Bytes of what a model has said in a reply of any dialect: text, thinking, arguments of tools. */
function outputBytesOf(reply: unknown): number {
  const { choices, output, content, completion } = reply as Record<string, unknown>
  return textBytes([choices, output, content, completion])
}

/** Members that name and mark things, and are not generated. */
const notSaid = new Set([
  'id',
  'type',
  'role',
  'status',
  'call_id',
  'object',
  'signature',
  'encrypted_content',
  'finish_reason',
])

function textBytes(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (typeof value !== 'object' || value === null) return 0
  let bytes = 0
  for (const [name, inner] of Object.entries(value)) if (!notSaid.has(name)) bytes += textBytes(inner)
  return bytes
}

/** Parses JSON; undefined where it is none. */
export function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** Large replies (embeddings) carry model and usage in their last bytes, as one object each. */
function parseTail(body: Buffer): unknown {
  const tail = body.toString('utf8', Math.max(0, body.length - usageTailBytes))
  const usageAt = tail.lastIndexOf('"usage"')
  if (usageAt < 0) return undefined
  const usage = /^"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/.exec(tail.slice(usageAt))?.[1]
  const model = /"model"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(tail)?.[1]
  if (!usage) return undefined
  return parse(Buffer.from(`{${model ? `"model":${model},` : ''}"usage":${usage}}`))
}
