/**
 * Which client software is calling, recognised by one table. It is claimed, never signed: it names the app in reports and
 * chooses the words of a refusal, and opens nothing.
 */
export interface ClientApp {
  /** Name in events: `claude-code`, `codex`, … */
  app: string
  /** How it reads refusals (see `refusal-answer.ts`). */
  refusalClass: RefusalClass
}

export type RefusalClass = 'official-sdk' | 'claude-code' | 'codex' | 'unknown'

/** The headers by which client software says what it is. */
export interface ClientMarks {
  userAgent: string
  /** Codex and what is built on it. */
  originator?: string | undefined
  /** By which programs name themselves to routers, beside the User-Agent of the SDK they use. */
  title?: string | undefined
  /** An `x-stainless-*` header came: only the official SDKs send it. */
  stainless?: boolean
}

type Row = Partial<Record<'userAgent' | 'originator' | 'title', RegExp>> & { app: string; refusalClass?: RefusalClass }

/** First match wins: programs before the libraries that they are made with. Any one of a row's marks is enough. */
const rows: readonly Row[] = [
  // Agents and editors.
  { app: 'claude-code', refusalClass: 'claude-code', userAgent: /^claude-(?:cli|code)\// },
  { app: 'codex', refusalClass: 'codex', userAgent: /^codex(?:_|-|\/)/i, originator: /^codex/i },
  { app: 'opencode', userAgent: /opencode/i, originator: /^opencode/i, title: /^opencode$/i },
  { app: 'cursor', userAgent: /cursor/i, title: /^cursor$/i },
  { app: 'cline', userAgent: /^cline\//i, title: /^cline$/i },
  { app: 'roo-code', userAgent: /^roo-?code\//i, title: /^roo code$/i },
  { app: 'kilo-code', userAgent: /^kilo-?code\//i, title: /^kilo code$/i },
  { app: 'aider', userAgent: /^aider/i, title: /^aider$/i },
  { app: 'continue', userAgent: /^continue\//i, title: /^continue$/i },
  { app: 'zed', userAgent: /^zed\//i, title: /^zed$/i },
  { app: 'goose', userAgent: /^goose\//i, title: /^goose$/i },
  { app: 'github-copilot', userAgent: /^github-?copilot/i },
  { app: 'open-webui', userAgent: /open-?webui/i, title: /^open webui$/i },
  { app: 'librechat', userAgent: /librechat/i, title: /^librechat$/i },
  { app: 'n8n', userAgent: /^n8n/i },
  { app: 'meshagent', userAgent: /^meshagent/i },
  // Frameworks.
  { app: 'langchain', userAgent: /lang(?:chain|graph)/i },
  { app: 'llamaindex', userAgent: /llama-?index/i },
  { app: 'vercel-ai-sdk', userAgent: /^ai-sdk\/|ai\/\d.*ai-sdk|^ai\//i },
  { app: 'openai-agents-sdk', refusalClass: 'official-sdk', userAgent: /^Agents\/(?:Python|JavaScript)/i },
  { app: 'litellm', userAgent: /litellm/i },
  // The providers' own SDKs.
  { app: 'openai-sdk-js', refusalClass: 'official-sdk', userAgent: /^(?:Azure)?OpenAI\/JS / },
  { app: 'openai-sdk-python', refusalClass: 'official-sdk', userAgent: /^(?:Async)?(?:Azure)?OpenAI\/Python / },
  { app: 'openai-sdk-go', refusalClass: 'official-sdk', userAgent: /^OpenAI\/Go / },
  { app: 'openai-sdk-java', refusalClass: 'official-sdk', userAgent: /^OpenAI(?:\w*)\/Java / },
  { app: 'openai-sdk-ruby', refusalClass: 'official-sdk', userAgent: /^OpenAI::Client\/Ruby / },
  { app: 'openai-sdk-dotnet', userAgent: /^OpenAI\/\d.*\.NET/ },
  { app: 'anthropic-sdk-js', refusalClass: 'official-sdk', userAgent: /^Anthropic\/JS / },
  { app: 'anthropic-sdk-python', refusalClass: 'official-sdk', userAgent: /^(?:Async)?Anthropic\/Python / },
  { app: 'anthropic-sdk-go', refusalClass: 'official-sdk', userAgent: /^Anthropic\/Go / },
  { app: 'anthropic-sdk-java', refusalClass: 'official-sdk', userAgent: /^Anthropic(?:\w*)\/Java / },
  // What is none of these.
  { app: 'curl', userAgent: /^curl\// },
  { app: 'python-requests', userAgent: /^python-requests\// },
  { app: 'python-httpx', userAgent: /^python-httpx\// },
  { app: 'browser', userAgent: /^Mozilla\// },
]

const cache = new Map<string, ClientApp>()
const maxCached = 1_000

/** Whoever is in no row is called by the first word of its User-Agent. */
export function recogniseClient(marks: ClientMarks): ClientApp {
  const { userAgent, originator, title, stainless = false } = marks
  const isPlain = originator === undefined && title === undefined
  const key = isPlain
    ? stainless
      ? `s${userAgent}`
      : userAgent
    : JSON.stringify([userAgent, originator, title, stainless])
  const known = cache.get(key)
  if (known) return known
  const row = rows.find(
    candidate =>
      candidate.userAgent?.test(userAgent) ||
      (originator !== undefined && candidate.originator?.test(originator)) ||
      (title !== undefined && candidate.title?.test(title)),
  )
  const result: ClientApp = { app: row?.app ?? firstWord(userAgent), refusalClass: refusalClassOf(row, stainless) }
  if (cache.size >= maxCached) cache.clear()
  cache.set(key, result)
  return result
}

function refusalClassOf(row: Row | undefined, stainless: boolean): RefusalClass {
  // Who only calls itself an SDK may not obey what SDKs obey; who wraps one may try again by itself.
  if (row && row.refusalClass !== 'official-sdk') return row.refusalClass ?? 'unknown'
  return stainless ? 'official-sdk' : 'unknown'
}

function firstWord(userAgent: string): string {
  return (
    userAgent
      .split(/[\s/(]/, 1)[0]
      ?.slice(0, 64)
      .toLowerCase() || 'unknown'
  )
}
