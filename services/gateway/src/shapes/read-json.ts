import { totalOutputTokens } from '@sluice/contracts'
import { estimateTokens, freeUsage, maxBytesPerToken, measuredAs, TextSample, type UsageResult } from '@sluice/usage'
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
  const bytesOf = options.outputBytes ?? ((reply: unknown) => textOf(reply).bytes)
  if (usage.raw_usage !== null) {
    // Where the usage could be too low for what was said, what was said is looked at.
    const isLow = totalOutputTokens(usage.quantities) * maxBytesPerToken < facts.wholeBytes
    return isLow && parsed !== undefined ? { ...usage, outputBytes: bytesOf(parsed) } : usage
  }
  const input = estimateInput(facts.tokens?.ofRequest() ?? facts.inputTokens)
  const output = measuredAs({ out_text: outputTokensOf(parsed, facts, options.outputBytes) }, 'estimated')
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

/** A reply that cannot be read is all output: its client has had it. */
function outputTokensOf(
  parsed: unknown,
  { wholeBytes, tokens }: WholeReplyFacts,
  bytesOf: ((parsed: unknown) => number) | undefined,
): number {
  if (parsed === undefined) return estimateTokens(wholeBytes)
  if (bytesOf) return estimateTokens(bytesOf(parsed))
  const text = textOf(parsed)
  return tokens?.ofText(text.bytes, text.beginning) ?? estimateTokens(text.bytes)
}

/** What a model has said in a reply of any dialect: text, thinking, arguments of tools. */
function textOf(reply: unknown): TextSample {
  const { choices, output, content, completion } = reply as Record<string, unknown>
  const text = new TextSample()
  addText(text, [choices, output, content, completion])
  return text
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
