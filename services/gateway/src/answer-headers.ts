import { type Budget, responseHeaders } from '@sluice/contracts'
import type { AdmittedCall } from './call.ts'
import { formatAmount, formatUsd } from './format-amount.ts'
import { limitHeaders } from './limit-headers.ts'
import { toHeaderText } from './refusal-answer.ts'

/** Not passed on: hop-by-hop, framing that is ours, cookies, and what tells about the provider's account or machines. */
const dropped = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'set-cookie',
  'server',
  'alt-svc',
  'date',
  'openai-organization',
  'openai-project',
  'anthropic-organization-id',
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-expose-headers',
  'access-control-max-age',
])

/**
 * The provider's headers that reach the client, then ours. Flat: name, value, …
 * @param provider names in lower case
 */
export function answerHeaders(call: AdmittedCall, provider: readonly string[], overheadUs: number): string[] {
  const limits = limitHeaders(call)
  const headers: string[] = []
  let hasRequestId = false
  for (let i = 0; i < provider.length; i += 2) {
    const name = provider[i] as string
    if (dropped.has(name) || name.startsWith('sluice-')) continue
    if (limits.length > 0 && isReplaced(name, limits)) continue
    if (name === 'x-request-id') hasRequestId = true
    headers.push(name, provider[i + 1] as string)
  }
  if (!hasRequestId) headers.push('x-request-id', call.callId)
  if (limits.length > 0) headers.push(...limits)
  headers.push(
    responseHeaders.callId,
    call.callId,
    responseHeaders.overheadMs,
    formatMs(overheadUs),
    responseHeaders.servedBy,
    call.route.servedBy,
  )
  if (call.clampedTo !== undefined) headers.push(responseHeaders.clamped, String(call.clampedTo))
  const { tightest } = call.hold
  if (tightest) {
    const { budget, spent, held, resetsAtMs } = tightest
    const words = wordsOf(budget)
    headers.push(responseHeaders.budgetName, words.name, responseHeaders.budgetLimit, words.limit)
    if (words.spent !== spent) {
      words.spent = spent
      words.spentText = formatAmount(spent, budget.unit)
    }
    if (words.held !== held) {
      words.held = held
      words.heldText = formatAmount(held, budget.unit)
    }
    headers.push(responseHeaders.budgetSpent, words.spentText, responseHeaders.budgetHeld, words.heldText)
    if (resetsAtMs !== undefined) {
      if (words.resetsAtMs !== resetsAtMs) {
        words.resetsAtMs = resetsAtMs
        words.reset = new Date(resetsAtMs).toISOString()
      }
      headers.push(responseHeaders.budgetReset, words.reset)
    }
  }
  return headers
}

/** One that we tell ourselves; a family of gauges is one thing, so none of the provider's stands among ours. */
function isReplaced(name: string, limits: readonly string[]): boolean {
  for (const family of ['anthropic-ratelimit-unified-', 'x-codex-'])
    if (name.startsWith(family)) return limits.some((each, at) => at % 2 === 0 && each.startsWith(family))
  return limits.some((each, at) => at % 2 === 0 && each === name)
}

/** What stays the same from call to call, or for many of them, written once per budget. */
interface BudgetWords {
  name: string
  limit: string
  spent: number
  spentText: string
  held: number
  heldText: string
  resetsAtMs: number
  reset: string
}
const wordsByBudget = new WeakMap<Budget, BudgetWords>()

function wordsOf(budget: Budget): BudgetWords {
  let words = wordsByBudget.get(budget)
  if (!words) {
    words = {
      name: toHeaderText(budget.name),
      limit: formatAmount(budget.limit, budget.unit),
      spent: Number.NaN,
      spentText: '',
      held: Number.NaN,
      heldText: '',
      resetsAtMs: -1,
      reset: '',
    }
    wordsByBudget.set(budget, words)
  }
  return words
}

/** Adds what a call has cost, where its headers have waited for that. */
export function addCost(headers: string[], costNanoUsd: number): void {
  headers.push(responseHeaders.costUsd, formatUsd(costNanoUsd))
}

function formatMs(us: number): string {
  const rest = us % 1000
  return `${Math.floor(us / 1000)}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`
}
