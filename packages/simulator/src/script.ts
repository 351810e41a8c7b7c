import type { Beside } from './beside.ts'
import { type Metered, NO_TOOLS } from './cost.ts'
import { DirectiveError, type Directives } from './directives.ts'
import { asList, asObject, asText } from './json.ts'
import type { SimPrice } from './prices.ts'
import type { Prompt } from './prompt.ts'
import { errorOfStatus } from './provider-error.ts'
import { readStep } from './steps.ts'
import { countTokens, isAlphabet, makeText, takeTokens } from './tokens.ts'

export interface ToolCall {
  readonly name: string
  readonly arguments: string
}

/** Everything this call will say and cost, fixed before its first byte: a function of the request alone. */
export interface Script {
  readonly model: string
  readonly servedModel: string
  readonly price: SimPrice
  readonly tier: string
  readonly geo: string | null
  readonly speed: string | null
  readonly searchesPreview: boolean
  readonly choices: number
  readonly thinking: string
  readonly text: string
  readonly tools: readonly ToolCall[]
  readonly searches: number
  readonly finish: 'stop' | 'limit' | 'tool'
  readonly metered: Metered
  /** What turns of their own and other models take for it, in the order in which that is done. */
  readonly beside: readonly Beside[]
}

/** What a dialect reads from its own request fields. */
export interface Asked {
  readonly name: string
  readonly model: string
  readonly price: SimPrice
  readonly tier: string | undefined
  readonly geo: string | null
  readonly speed?: string | null
  readonly choices: number
  readonly limit: number | undefined
  readonly thinks: boolean
  /** Tokens of sound that it speaks for each one that it writes. Absent: it does not speak. */
  readonly spokenPerWritten?: number
  readonly forcedTool: string | undefined
  /** The endpoint has a web search tool of its own. */
  readonly searches: boolean
  /** That tool is the preview of it. */
  readonly searchesPreview?: boolean
}

const THINKING_TOKENS_WHEN_ASKED = 32
const DEFAULT_TOOL_TOKENS = 8

export function writeScript(asked: Asked, prompt: Prompt, directives: Directives): Script {
  if (prompt.heard > 0 && asked.price.sound === undefined)
    throw errorOfStatus(asked.price.dialect, 400, 'This model does not hear.')
  const inputTokens = directives.number('input_tokens') ?? prompt.tokens
  const alphabet = directives.text('alphabet') ?? 'latin'
  if (!isAlphabet(alphabet)) throw new DirectiveError(`The simulator knows no alphabet "${alphabet}".`)

  const step = readStep(directives, prompt)
  const toolNames =
    step === undefined ? chooseTools(asked, prompt, directives) : step.tool === undefined ? [] : [step.tool]
  const written = step?.text ?? directives.text('text')
  const defaultOutput = toolNames.length > 0 ? 0 : 16 + (prompt.tokens % 17)
  const wantedThinking = directives.number('reasoning') ?? (asked.thinks ? THINKING_TOKENS_WHEN_ASKED : 0)
  const wantedText = written ?? makeText(directives.number('output_tokens') ?? defaultOutput, alphabet)
  const wantedTools = toolNames.map(name => ({
    name,
    arguments:
      step?.arguments ??
      directives.text('tool_args') ??
      makeArguments(directives.number('tool_tokens') ?? DEFAULT_TOOL_TOKENS),
  }))

  const limit = directives.has('over_limit')
    ? (asked.limit ?? 0) + (directives.number('over') ?? 16)
    : (asked.limit ?? Number.MAX_SAFE_INTEGER)
  let left = limit
  const spend = (text: string, spokenPerWritten = 0) => {
    const kept = takeTokens(text, Math.floor(left / (1 + spokenPerWritten)))
    left -= countTokens(kept) * (1 + spokenPerWritten)
    return kept
  }
  const wanted = wantedThinking + countTokens(wantedText) + sumTokens(wantedTools)
  const thinking = makeText(Math.min(wantedThinking, left))
  left -= countTokens(thinking)
  const isOver = directives.has('over_limit') && wanted < limit && written === undefined && wantedTools.length === 0
  const text = spend(isOver ? makeText(limit - countTokens(thinking), alphabet) : wantedText, asked.spokenPerWritten)
  const tools = wantedTools
    .map(tool => ({ name: tool.name, arguments: spend(tool.arguments) }))
    .filter(tool => tool.arguments !== '')
  const produced = countTokens(thinking) + countTokens(text) + sumTokens(tools)
  const ordered = asked.searches ? (directives.number('searches') ?? 0) : 0
  const searches = asked.price.alwaysSearches ? 1 : ordered

  return {
    model: asked.model,
    servedModel:
      directives.text('served_model') ??
      (asked.name === asked.model && directives.number('snapshot') !== 0
        ? (asked.price.snapshots[0] ?? asked.name)
        : asked.name),
    price: asked.price,
    tier: directives.text('tier') ?? serveTier(asked, inputTokens),
    geo: asked.geo,
    speed: asked.price.fast === undefined ? null : (asked.speed ?? null),
    searchesPreview: asked.searchesPreview === true,
    choices: asked.choices,
    thinking,
    text,
    tools,
    searches,
    finish: !isOver && produced < wanted ? 'limit' : tools.length > 0 ? 'tool' : 'stop',
    metered: {
      ...divideInput(inputTokens, prompt, directives),
      output: produced * asked.choices,
      output_thinking: countTokens(thinking) * asked.choices,
      audio_input: prompt.heard,
      audio_output: countTokens(text) * (asked.spokenPerWritten ?? 0) * asked.choices,
      ...NO_TOOLS,
      web_searches: searches,
    },
    beside: [],
  }
}

function serveTier({ price, tier }: Asked, inputTokens: number): string {
  if (price.dialect === 'anthropic') return 'standard'
  // A long prompt is served in fewer tiers.
  const tiers = price.long !== undefined && inputTokens >= price.long.fromInputTokens ? price.long.tiers : price.tiers
  return tier !== undefined && tiers?.[tier] !== undefined ? tier : 'default'
}

/** Reads come first, then what is marked for an hour, then for five minutes; the rest is fresh. */
function divideInput(total: number, prompt: Prompt, directives: Directives) {
  let left = total
  const take = (tokens: number) => {
    const taken = Math.min(tokens, left)
    left -= taken
    return taken
  }
  const cached = take(directives.number('cached') ?? 0)
  const hour = take(directives.number('cache_write_1h') ?? Math.max(0, prompt.marked1h - cached))
  const beyond = prompt.marked1h + prompt.marked5m - Math.max(cached, prompt.marked1h)
  const fiveMinutes = take(directives.number('cache_write') ?? Math.max(0, beyond))
  return { input_fresh: left, input_from_cache: cached, input_to_cache_5m: fiveMinutes, input_to_cache_1h: hour }
}

function chooseTools(asked: Asked, prompt: Prompt, directives: Directives): readonly string[] {
  if (prompt.toolAnswers > 0) return []
  const named = directives.text('tool')
  if (named !== undefined) return named.split(',')
  return asked.forcedTool === undefined ? [] : [asked.forcedTool]
}

/** The name of the first tool a request offers, in any of the dialects' shapes. */
export function firstToolName(tools: unknown): string | undefined {
  const tool = asObject(asList(tools)[0])
  return asText(tool.name) ?? asText(asObject(tool.function).name)
}

/** A JSON object of exactly `tokens` tokens (at least four). */
function makeArguments(tokens: number): string {
  const frame = '{"text": ""}'
  return `{"text": "${makeText(Math.max(4, tokens) - frame.length / 4)}"}`
}

function sumTokens(tools: readonly ToolCall[]): number {
  let tokens = 0
  for (const tool of tools) tokens += countTokens(tool.arguments)
  return tokens
}
