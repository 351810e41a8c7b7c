import type { Dialect } from '@sluice/contracts'
import { mayHaveEscapedNames } from '../escaped-names.ts'
import { parseCount } from '../scan-json.ts'
import type { ScannedBody } from './scanned-body.ts'

/** What tools that run at the provider may add to a call. */
export interface HostedTools {
  /** Each time the model reads all of its prompt once more, and what the tool has found. */
  uses: number
  /** What in the request has no bound; `uses` is then a guess. */
  unboundedBy: string | undefined
  /** Tools that are charged by the use. */
  webSearches: number
  webFetches: number
  fileSearches: number
  /** Gigabytes of containers that may run, times the minutes. */
  containerGbMinutes: number
  containerSessions: number
  searchesByPreview: boolean
  /** Descriptions of tools that the provider writes itself. */
  promptTokens: number
}

/**
 * Some model is told of its tools in words of its provider's: at most 530 tokens
 * (docs.anthropic.com/en/docs/tool-use-pricing-and-tokens), twice that here, since no page lists the models of today.
 */
const anyToolTokens = 1_024
/** One that the provider describes (a shell, an editor, a screen): no page tells of all of them. More than any that does. */
const ownToolTokens = 1_536
/** Where a request sets none, so many uses are assumed. */
const guessedUses = 10
/** The longest call. */
const mostMinutes = 60
const largestContainerGb = 64

const none: HostedTools = {
  uses: 0,
  unboundedBy: undefined,
  webSearches: 0,
  webFetches: 0,
  fileSearches: 0,
  containerGbMinutes: 0,
  containerSessions: 0,
  searchesByPreview: false,
  promptTokens: 0,
}
const clientsOwn: HostedTools = { ...none, promptTokens: anyToolTokens }

/** A type that stands in no schema and belongs to no tool of a client's. */
const ownType =
  /"type"\s*:\s*"(?!(?:function|custom|string|number|integer|boolean|array|object|null|ephemeral|grammar|text)")/

interface Tool {
  type?: unknown
  max_uses?: unknown
  container?: unknown
  environment?: unknown
}

/** Reads which tools of a request run at its provider, and how often they may. */
export function readHostedTools({ bytes, object }: ScannedBody, dialect: Dialect): HostedTools {
  const { members } = object
  const servers = members.get('mcp_servers')
  const span = members.get('tools')
  if (!span && !servers) return none
  const text = span ? bytes.toString('utf8', span.start, span.end) : '[]'
  if (!servers && span && !ownType.test(text) && !mayHaveEscapedNames(bytes.subarray(span.start, span.end)))
    return clientsOwn
  const parsed = parse(text)
  const tally: HostedTools = { ...clientsOwn }
  if (servers) addUnbounded(tally, '"mcp_servers"')
  const limit = parseCount(bytes, members.get('max_tool_calls'))
  let hostedByLimit = false
  for (const tool of Array.isArray(parsed) ? (parsed as unknown[]) : []) {
    if (dialect === 'anthropic') addAnthropic(tally, toolOf(tool))
    else if (addOpenAI(tally, toolOf(tool), limit)) hostedByLimit = true
  }
  if (hostedByLimit) tally.uses += limit ?? guessedUses
  return tally
}

function toolOf(value: unknown): Tool {
  return value !== null && typeof value === 'object' ? (value as Tool) : {}
}

/** What is no JSON is the provider's to refuse. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return []
  }
}

function addUnbounded(tally: HostedTools, what: string): void {
  tally.unboundedBy ??= what
  tally.uses += guessedUses
}

function addAnthropic(tally: HostedTools, { type, max_uses }: Tool): void {
  if (typeof type !== 'string' || type === 'custom') return
  tally.promptTokens += ownToolTokens
  if (/^(?:bash|text_editor|computer|memory)_/.test(type)) return
  const isFetch = type.startsWith('web_fetch_')
  if (!isFetch && !type.startsWith('web_search_')) {
    addUnbounded(tally, `"${type.slice(0, 64)}"`)
    return
  }
  const uses = Number.isSafeInteger(max_uses) && Number(max_uses) >= 0 ? Number(max_uses) : undefined
  if (uses === undefined) tally.unboundedBy ??= `"${type.slice(0, 64)}" without "max_uses"`
  tally.uses += uses ?? guessedUses
  tally[isFetch ? 'webFetches' : 'webSearches'] += uses ?? guessedUses
}

/** Tools that the client runs, though the provider describes them. */
const runByClient = /^(?:local_shell|apply_patch|computer.*|namespace|tool_search)$/

/** @returns whether `max_tool_calls` counts its uses */
function addOpenAI(tally: HostedTools, tool: Tool, limit: number | undefined): boolean {
  const { type } = tool
  if (typeof type !== 'string' || type === 'function' || type === 'custom') return false
  tally.promptTokens += ownToolTokens
  if (runByClient.test(type) || (type === 'shell' && !isInContainer(tool.environment))) return false
  const uses = limit ?? guessedUses
  if (type.startsWith('web_search')) {
    tally.webSearches = uses
    if (type.startsWith('web_search_preview')) tally.searchesByPreview = true
  } else if (type === 'file_search') tally.fileSearches = uses
  else if (type === 'code_interpreter' || type === 'shell') {
    tally.containerGbMinutes += gigabytesOf(type === 'shell' ? tool.environment : tool.container) * mostMinutes
    tally.containerSessions += 1
  } else {
    // Pictures have a model and a price of their own; servers of others, and what nobody here knows, are called without a count.
    addUnbounded(tally, `"${type.slice(0, 64)}"`)
    return false
  }
  if (limit === undefined) tally.unboundedBy ??= `"${type.slice(0, 64)}" without "max_tool_calls"`
  return true
}

function isInContainer(environment: unknown): boolean {
  const { type } = toolOf(environment)
  return type !== undefined && type !== 'local'
}

/** Of a container that is named its size is not known here. */
function gigabytesOf(container: unknown): number {
  if (container === undefined) return 1
  if (container === null || typeof container !== 'object') return largestContainerGb
  const { memory_limit: size = '1g' } = container as { memory_limit?: unknown }
  const found = typeof size === 'string' ? /^(\d{1,3})g$/.exec(size) : null
  return found ? Number(found[1]) : largestContainerGb
}
