import { totalInputTokens } from '@sluice/contracts'
import type { UsageResult } from '@sluice/usage'
import { mayHaveEscapedNames } from '../escaped-names.ts'
import type { TextCall } from './call-bound.ts'
import { findModelLimits } from './model-limits.ts'
import { markPrompt, messagesOf, type PromptMark } from './prompt-marks.ts'
import type { PromptSize } from './prompt-size.ts'
import { countTextBytes } from './text-bytes.ts'

/** What a provider has counted of a prompt that begins as this one does. */
export interface CountedBeginning {
  /** All tokens of the prompt that was counted. */
  tokens: number
  /** Offset in the body of what is new. */
  end: number
}

/** A prompt that its provider is about to count. */
export interface MarkedPrompt {
  /** Undefined: none that begins so was counted. */
  counted: CountedBeginning | undefined
  /** Some provider has counted it: believed where it is the one that was meant. */
  learn: (counter: string, usage: Pick<UsageResult, 'quantities' | 'provenance'>) => void
}

/** Prompts that begin the same are those of one session. What is shorter is bounded well enough by its bytes. */
const leastBytes = 16 * 1024
/** A provider may begin to count in another way. */
const keptMs = 60 * 60_000
const mostMarks = 65_536
/** Of one project: its sessions must not push those of others out. */
const mostOfProject = 16_384

interface Counted {
  tokens: number
  atMs: number
}

/**
 * How many tokens providers have counted prompts as. A session sends all that it has said with each call, and a little more: what was
 * counted of it once bounds it better than any number of bytes, whatever vocabulary its model has. Kept are hashes and numbers, for an hour,
 * for each project, provider and model by itself.
 */
export class CountedPrompts {
  /** By project and mark. The project, and of each the mark, that has waited longest first. */
  readonly #projects = new Map<string, Map<string, Counted>>()
  #size = 0

  /**
   * Looks for the longest beginning of a prompt that was counted.
   * @param size of it, by its bytes
   * @param counter whose count it will be: the provider's that it goes to, at its address
   * @returns undefined: it is short, or its provider reads something else than what stands there
   */
  read(call: TextCall, size: PromptSize, projectId: string, counter: string): MarkedPrompt | undefined {
    const messages = messagesOf(call)
    if (!messages || messages.end - messages.start < leastBytes || !isReadAsItStands(call, size)) return undefined
    const { dialect, endpoint, model } = call
    const marks = markPrompt(call, messages, [projectId, counter, dialect, endpoint.shape, model])
    const nowMs = Date.now()
    const at = marks.findLastIndex(({ key }) => this.#find(projectId, key, nowMs) !== undefined)
    const [mark, counted] = [marks[at], this.#find(projectId, marks[at]?.key ?? '', nowMs)]
    if (mark && counted) this.#keep(projectId, mark.key, counted)
    const kept = spread(marks.slice(at + 1)).map(({ key }) => key)
    return {
      counted: mark && counted && { tokens: counted.tokens, end: mark.end },
      learn: (by, usage) => {
        const tokens = measuredInput(usage)
        if (tokens === undefined || by !== counter) return
        const atMs = Date.now()
        for (const key of kept) {
          const known = this.#find(projectId, key, atMs)
          // The shorter of two prompts that begin so says more of the beginning.
          if (!known || tokens < known.tokens) this.#keep(projectId, key, { tokens, atMs })
        }
      },
    }
  }

  #find(projectId: string, key: string, nowMs: number): Counted | undefined {
    const counted = this.#projects.get(projectId)?.get(key)
    return counted && nowMs - counted.atMs < keptMs ? counted : undefined
  }

  #keep(projectId: string, key: string, counted: Counted): void {
    const marks = this.#projects.get(projectId) ?? new Map<string, Counted>()
    this.#projects.delete(projectId)
    this.#projects.set(projectId, marks)
    if (marks.delete(key)) this.#size--
    marks.set(key, counted)
    this.#size++
    if (marks.size > mostOfProject) this.#dropFirst(projectId, marks)
    while (this.#size > mostMarks) {
      const [first] = this.#projects
      if (first) this.#dropFirst(...first)
    }
  }

  #dropFirst(projectId: string, marks: Map<string, Counted>): void {
    for (const key of marks.keys()) {
      marks.delete(key)
      this.#size--
      break
    }
    if (marks.size === 0) this.#projects.delete(projectId)
  }
}

/** Some of many, closest at the end: the next prompt of a session begins with nearly all of this one, or with far less of it. */
function spread(marks: readonly PromptMark[]): PromptMark[] {
  const kept: PromptMark[] = []
  for (let back = 1; back <= marks.length; back *= 2) {
    const mark = marks[marks.length - back]
    if (mark) kept.push(mark)
  }
  return kept
}

/** Parts that are read in some prompts and left out of others, by what follows them: tools that wait until they are looked for, too. */
const readSometimes = [
  '"thinking"',
  '"redacted_thinking"',
  '"reasoning',
  '"compaction',
  '"cache_edits"',
  '"defer_loading"',
] as const
const mayReadOther = ['context_management', 'truncation', 'mcp_servers', 'prompt'] as const

/**
 * All that its provider reads stands in the request, and all that stands there is read, in every request that has it: only then is a
 * prompt that goes on no larger than what was counted and what is new.
 */
function isReadAsItStands(
  { body: { bytes, object }, dialect, model, named = [] }: TextCall,
  size: PromptSize,
): boolean {
  if (size.isHidden || size.cipherTokens > 0 || size.audioTokens > 0 || object.binaries.length > 0) return false
  if (!findModelLimits(dialect, model).isKnown || named.length > 0) return false
  if (mayReadOther.some(name => object.members.has(name))) return false
  const tools = object.members.get('tools')
  if (tools && mayHaveEscapedNames(bytes.subarray(tools.start, tools.end))) return false
  return !readSometimes.some(part => bytes.includes(part))
}

function measuredInput({ quantities, provenance }: Pick<UsageResult, 'quantities' | 'provenance'>): number | undefined {
  const tokens = totalInputTokens(quantities)
  if (tokens === 0) return undefined
  const isMeasured = Object.entries(provenance).every(([name, mark]) => !name.startsWith('in_') || mark === 'measured')
  return isMeasured ? tokens : undefined
}

/** What a border between tokens may add: a token of the counted prompt that stands on it is several here. */
const borderTokens = 256

/** The most tokens that the text of a prompt can be, of which a beginning was counted. @param newTokens of what stands behind it */
export function tokensBehind({ tokens }: CountedBeginning, newTokens: number): number {
  // A twentieth for what a provider's count may be off.
  return tokens + Math.ceil(tokens / 20) + borderTokens + newTokens
}

/** What of a request is new, as it stands in it. */
export function newTextOf(call: TextCall, { end }: CountedBeginning): Buffer {
  return call.body.bytes.subarray(end, messagesOf(call)?.end)
}

/** The size of a prompt, with its text by what was counted of it where that is less. */
export function sizeByCounted(call: TextCall, size: PromptSize): PromptSize {
  const { counted } = call
  if (!counted) return size
  const textTokens = tokensBehind(counted, countTextBytes(newTextOf(call, counted)))
  return { ...size, textTokens: Math.min(size.textTokens, textTokens) }
}
