import { type MemberSpan, parseCount, type ScannedObject } from './scan-json.ts'

/** What a request insists on, by which its reply's usage is judged. */
export interface AskedLimits {
  /** Tokens of output over all choices; undefined: no limit of its own. */
  outputTokens: number | undefined
  /** Undefined where the provider may choose. */
  tier: string | undefined
}

/** Members of a body that `readAskedLimits` reads. */
export const limitMembers = ['max_tokens', 'max_completion_tokens', 'max_output_tokens', 'n', 'service_tier'] as const

/** Reads them where they are what they should be: what is not, the provider judges. */
export function readAskedLimits(body: Buffer, { members }: ScannedObject): AskedLimits {
  const count = (name: (typeof limitMembers)[number]) => parseCount(body, members.get(name))
  const limit = count('max_completion_tokens') ?? count('max_tokens') ?? count('max_output_tokens')
  const tier = members.get('service_tier')
  return {
    outputTokens: limit === undefined ? undefined : limit * Math.max(1, count('n') ?? 1),
    tier: tier === undefined ? undefined : insistedTier(body, tier),
  }
}

function insistedTier(body: Buffer, { start, end }: MemberSpan): string | undefined {
  const tier = body[start] === 0x22 && end - start < 64 ? body.toString('latin1', start + 1, end - 1) : 'auto'
  if (tier === 'auto') return undefined
  // Anthropic's word for its standard tier without a fallback.
  return tier === 'standard_only' ? 'standard' : tier
}
