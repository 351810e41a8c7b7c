import type { Budget, BudgetWindow } from '@sluice/contracts'
import type { AdmittedCall } from './call.ts'
import { isRateLimit } from './rate-limit.ts'

const none: readonly string[] = []
const minuteMs = 60_000

/** What an answer's headers are told from. */
export type LimitedCall = Pick<AdmittedCall, 'hold' | 'client' | 'money' | 'admittedAtMs'> & {
  match: Pick<AdmittedCall['match'], 'dialect'>
}

/**
 * What an answer tells its client of rate limits and of how far budgets are used, in the headers that the client knows: those of its
 * dialect, and the gauges that Claude Code and Codex show before a budget is spent. Flat: name, value, …; lower case. Names that
 * stand here replace the provider's own.
 */
export function limitHeaders(call: LimitedCall, atMs?: number): readonly string[] {
  const { hold, client } = call
  const isAgent = client.refusalClass === 'claude-code' || client.refusalClass === 'codex'
  if (!hold.hasRates && !isAgent) return none
  if (hold.budgets.length === 0) return none
  const nowMs = atMs ?? Date.now()
  const headers: string[] = []
  if (hold.hasRates) tellRates(headers, call, nowMs)
  if (isAgent) {
    const used = usedParts(hold, nowMs)
    if (client.refusalClass === 'codex') tellCodex(headers, used)
    else tellClaudeCode(headers, used)
  }
  return headers
}

interface Rate {
  limit: number
  remaining: number
  resetsAtMs: number
}

/** Of requests and of tokens: the limit that has the least left. One of slots has no header that anybody reads. */
function tellRates(headers: string[], { hold, money, match, admittedAtMs }: LimitedCall, nowMs: number): void {
  for (const unit of ['requests', 'tokens'] as const) {
    let tightest: Rate | undefined
    for (const [at, { budget, copy }] of hold.budgets.entries()) {
      if (budget.unit !== unit || !isRateLimit(budget) || budget.mode === 'alert') continue
      const window = hold.windows[at]
      const resetsAtMs = window?.window_end_ms ?? nextMinute(admittedAtMs)
      // Of a minute that is over nothing is known that helps.
      if (resetsAtMs <= nowMs) continue
      const limit = window?.limit ?? budget.limit
      const counted = Math.max(0, limit - (window?.spent ?? 0) - (window?.held ?? 0))
      // What its home has left, as far as this gateway knows, is newer than what was counted.
      const rate = {
        limit,
        remaining: Math.min(limit, money?.leftOf(budget.budget_id, copy) ?? counted),
        resetsAtMs,
      }
      if (!tightest || rate.remaining < tightest.remaining) tightest = rate
    }
    if (tightest) pushRate(headers, match.dialect, unit, tightest, nowMs)
  }
}

/**
 * One rate limit. OpenAI's clients read a time to wait, Anthropic's a time of day:
 * https://platform.openai.com/docs/guides/rate-limits, https://docs.claude.com/en/api/rate-limits
 */
export function pushRate(
  headers: string[],
  dialect: 'openai' | 'anthropic',
  unit: 'requests' | 'tokens',
  { limit, remaining, resetsAtMs }: Rate,
  nowMs: number,
): void {
  if (dialect === 'openai') {
    headers.push(
      `x-ratelimit-limit-${unit}`,
      String(limit),
      `x-ratelimit-remaining-${unit}`,
      String(remaining),
      `x-ratelimit-reset-${unit}`,
      `${Math.max(1, Math.ceil((resetsAtMs - nowMs) / 1000))}s`,
    )
    return
  }
  const name = `anthropic-ratelimit-${unit}`
  headers.push(
    `${name}-limit`,
    String(limit),
    `${name}-remaining`,
    String(remaining),
    `${name}-reset`,
    `${new Date(resetsAtMs).toISOString().slice(0, 19)}Z`,
  )
}

/** Windows follow the calendar: one that nothing is known of ends with the minute. */
export function nextMinute(nowMs: number): number {
  return (Math.floor(nowMs / minuteMs) + 1) * minuteMs
}

const shortWindows: ReadonlySet<Budget['window']> = new Set(['minute', 'hour', 'day'])

/** How far a budget is used. A part to show: no amount is computed from it. */
export interface UsedPart {
  /** Of a thousand. */
  permille: number
  windowMinutes: number | undefined
  resetsAtS: number | undefined
}

/** The fullest budget of windows up to a day, and the fullest of longer ones: agents show two gauges. */
export interface UsedParts {
  short: UsedPart | undefined
  long: UsedPart | undefined
}

export function usedParts(
  { budgets, windows }: Pick<AdmittedCall['hold'], 'budgets' | 'windows'>,
  nowMs: number,
): UsedParts {
  const parts: UsedParts = { short: undefined, long: undefined }
  for (const [at, { budget }] of budgets.entries()) {
    if (isRateLimit(budget) || budget.mode === 'alert' || budget.limit === 0) continue
    if ((windows[at]?.window_end_ms ?? Infinity) <= nowMs) continue
    const part = usedPart(budget, windows[at], nowMs)
    const slot = shortWindows.has(budget.window) ? 'short' : 'long'
    if ((parts[slot]?.permille ?? -1) < part.permille) parts[slot] = part
  }
  return parts
}

function usedPart(budget: Budget, window: BudgetWindow | undefined, nowMs: number): UsedPart {
  const limit = window?.limit ?? budget.limit
  const used = (window?.spent ?? 0) + (window?.held ?? 0)
  const endMs = window?.window_end_ms
  return {
    permille: Math.min(1000, Math.max(0, Math.floor((used / limit) * 1000))),
    windowMinutes:
      endMs === undefined ? undefined : Math.round((endMs - (window?.window_start_ms ?? nowMs)) / minuteMs),
    resetsAtS: endMs === undefined ? undefined : Math.ceil(endMs / 1000),
  }
}

/** As Codex reads them (openai/codex, codex-rs/codex-api/src/rate_limits.rs): percents, minutes, seconds since 1970. */
function tellCodex(headers: string[], { short, long }: UsedParts): void {
  for (const [slot, part] of [
    ['primary', short],
    ['secondary', long],
  ] as const) {
    if (!part) continue
    const name = `x-codex-${slot}`
    headers.push(`${name}-used-percent`, percentText(part))
    if (part.windowMinutes !== undefined) headers.push(`${name}-window-minutes`, String(part.windowMinutes))
    if (part.resetsAtS !== undefined) headers.push(`${name}-reset-at`, String(part.resetsAtS))
  }
}

/** The same for a socket, where no headers come with a turn: an event that Codex takes before those of the response. */
export function codexLimitsEvent(used: UsedParts): string | undefined {
  if (!used.short && !used.long) return undefined
  const windowOf = (part: UsedPart | undefined): object | null =>
    part
      ? { used_percent: Number(percentText(part)), window_minutes: part.windowMinutes, reset_at: part.resetsAtS }
      : null
  return JSON.stringify({
    type: 'codex.rate_limits',
    rate_limits: { primary: windowOf(used.short), secondary: windowOf(used.long) },
  })
}

const warnsAt = [950, 750] as const

/** As Claude Code reads them: a part of 1, what the server thinks of it, seconds since 1970. */
function tellClaudeCode(headers: string[], { short, long }: UsedParts): void {
  const prefix = 'anthropic-ratelimit-unified'
  const fullest = (short?.permille ?? -1) >= (long?.permille ?? -1) ? short : long
  if (!fullest) return
  for (const [claim, part] of [
    ['5h', short],
    ['7d', long],
  ] as const) {
    if (!part) continue
    const passed = warnsAt.find(permille => part.permille >= permille)
    headers.push(
      `${prefix}-${claim}-utilization`,
      shareText(part.permille),
      `${prefix}-${claim}-status`,
      statusOf(part),
    )
    if (part.resetsAtS !== undefined) headers.push(`${prefix}-${claim}-reset`, String(part.resetsAtS))
    if (passed !== undefined) headers.push(`${prefix}-${claim}-surpassed-threshold`, shareText(passed))
  }
  headers.push(
    `${prefix}-status`,
    statusOf(fullest),
    `${prefix}-representative-claim`,
    fullest === short ? 'five_hour' : 'seven_day',
  )
  if (fullest.resetsAtS !== undefined) headers.push(`${prefix}-reset`, String(fullest.resetsAtS))
}

/** This call is let in, whatever the counters say: `rejected` would stop an agent that may go on. */
function statusOf({ permille }: UsedPart): string {
  return permille >= warnsAt[1] ? 'allowed_warning' : 'allowed'
}

function percentText({ permille }: UsedPart): string {
  return permille % 10 === 0 ? String(permille / 10) : `${Math.floor(permille / 10)}.${permille % 10}`
}

function shareText(permille: number): string {
  return permille === 1000 ? '1' : `0.${String(permille).padStart(3, '0')}`
}
