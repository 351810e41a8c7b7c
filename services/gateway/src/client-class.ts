/**
 * Which client software is calling: recognised from User-Agent and client headers, one row each, first match wins. It is
 * claimed, never signed: it names the app in reports and chooses the words of a refusal, and opens nothing.
 */
export interface ClientApp {
  /** Name in events: `claude-code`, `codex`, … */
  app: string
  /** How it reads refusals (see `refusal-answer.ts`). */
  refusalClass: RefusalClass
}

export type RefusalClass = 'official-sdk' | 'claude-code' | 'codex' | 'unknown'

const rows: readonly { app: string; refusalClass: RefusalClass; userAgent: RegExp }[] = [
  { app: 'claude-code', refusalClass: 'claude-code', userAgent: /^claude-(?:cli|code)\// },
  { app: 'codex', refusalClass: 'codex', userAgent: /^codex(?:_|-|\/)/i },
  { app: 'cursor', refusalClass: 'unknown', userAgent: /cursor/i },
  { app: 'meshagent', refusalClass: 'unknown', userAgent: /^meshagent/i },
  { app: 'langchain', refusalClass: 'unknown', userAgent: /langchain/i },
  { app: 'vercel-ai-sdk', refusalClass: 'unknown', userAgent: /^ai-sdk\/|ai\/\d.*ai-sdk|^ai\//i },
  { app: 'litellm', refusalClass: 'unknown', userAgent: /litellm/i },
  { app: 'openai-sdk-js', refusalClass: 'official-sdk', userAgent: /^OpenAI\/JS / },
  { app: 'openai-sdk-python', refusalClass: 'official-sdk', userAgent: /^(?:Async)?OpenAI\/Python / },
  { app: 'anthropic-sdk-js', refusalClass: 'official-sdk', userAgent: /^Anthropic\/JS / },
  { app: 'anthropic-sdk-python', refusalClass: 'official-sdk', userAgent: /^(?:Async)?Anthropic\/Python / },
  { app: 'curl', refusalClass: 'unknown', userAgent: /^curl\// },
]

const cache = new Map<string, ClientApp>()
const maxCached = 1_000

/** @param stainless true where an `x-stainless-*` header came: only the official SDKs send it */
export function recogniseClient(userAgent: string, stainless: boolean): ClientApp {
  const key = stainless ? `s${userAgent}` : userAgent
  const known = cache.get(key)
  if (known) return known
  const row = rows.find(candidate => candidate.userAgent.test(userAgent))
  const result: ClientApp = {
    app:
      row?.app ??
      (userAgent
        ? userAgent
            .split(/[\s/(]/, 1)[0]
            ?.slice(0, 64)
            .toLowerCase() || 'unknown'
        : 'unknown'),
    refusalClass:
      row && row.refusalClass !== 'official-sdk' ? row.refusalClass : stainless ? 'official-sdk' : 'unknown',
  }
  if (cache.size >= maxCached) cache.clear()
  cache.set(key, result)
  return result
}
