import { type Dialect, responseHeaders } from '@sluice/contracts'
import type { RefusalClass } from './client-app.ts'
import { formatAmount } from './format-amount.ts'
import { nextMinute, pushRate } from './limit-headers.ts'
import { type Refusal, type RefusalReason, refusalReasons } from './refusal.ts'
import { anthropicType, openaiNames } from './refusal-names.ts'

/** A refusal as it goes over the wire. */
export interface RefusalAnswer {
  status: number
  /** Name, value, …; lower case. */
  headers: string[]
  body: string
}

/** Who is answered, and how they read it. */
export interface RefusalAudience {
  dialect: Dialect
  refusalClass: RefusalClass
  callId: string
  nowMs: number
  /** The project wants 402 for spent budgets, whatever the client. */
  budgetStatus: 402 | undefined
  /** Of this installation, as its clients know it; undefined: they are told paths alone. */
  publicOrigin: string | undefined
}

/** SDKs sleep through what `retry-after` says; longer pauses than this only make a stuck program. */
const maxSdkRetryAfterS = 60

/**
 * Puts a refusal into the caller's dialect. For a spent budget the status depends on what the client does with it: those
 * that obey `x-should-retry: false` get 429, Codex its own final error, everyone else 402, which nobody retries.
 */
export function answerRefusal(refusal: Refusal, audience: RefusalAudience): RefusalAnswer {
  const headers = [
    'content-type',
    'application/json',
    responseHeaders.callId,
    audience.callId,
    'x-request-id',
    audience.callId,
  ]
  const path = pathForMore(refusal)
  const more = path && `${audience.publicOrigin ?? ''}${path}`
  const words =
    more !== undefined && refusal.reason === 'budget_spent'
      ? `${refusal.message} Or ask here: ${more}`
      : refusal.message
  headers.push(responseHeaders.errorMessage, toHeaderText(words))
  if (more !== undefined) headers.push(responseHeaders.requestMore, more)
  let status: number = refusalReasons[refusal.reason]
  const { code, type } = openaiNames(refusal)
  let openaiType = type
  const extra: Record<string, unknown> = {}
  if (refusal.reason === 'budget_spent') {
    const resetsAtMs = refusal.budget?.resets_at_ms
    const resetsInS =
      resetsAtMs === undefined ? undefined : Math.max(1, Math.ceil((resetsAtMs - audience.nowMs) / 1000))
    if (resetsAtMs !== undefined) extra.resets_at = Math.ceil(resetsAtMs / 1000)
    if (audience.budgetStatus === 402 || audience.refusalClass === 'unknown') status = 402
    else if (audience.refusalClass === 'codex') {
      openaiType = 'usage_limit_reached'
      // It writes its own words from the type, and puts these between "You've hit your usage limit." and the time of the reset.
      headers.push(codexWords, toHeaderText(spentInWords(refusal, more)))
    } else {
      headers.push('x-should-retry', 'false')
      if (resetsInS !== undefined) {
        const seconds = audience.refusalClass === 'claude-code' ? resetsInS : Math.min(resetsInS, maxSdkRetryAfterS)
        headers.push('retry-after', String(seconds))
      }
    }
  } else {
    if (refusal.retryAfterS !== undefined) headers.push('retry-after', String(refusal.retryAfterS))
    if (refusal.reason === 'rate_limited') {
      tellRate(headers, refusal, audience)
      // Whoever does not look at headers would ask again and again for what is never there.
      if (refusal.retryAfterS === undefined && audience.refusalClass === 'unknown') status = 400
    }
    if (refusal.reason === 'balance_exhausted') {
      headers.push('x-should-retry', 'false')
      // It asks again five times behind any other status.
      if (audience.refusalClass === 'codex' && audience.budgetStatus !== 402) {
        status = 429
        openaiType = 'usage_limit_reached'
        headers.push(codexWords, toHeaderText(spentInWords(refusal, undefined)))
      }
    }
    // A loop or a missing permission does not go away by asking again.
    if (status === 508) headers.push('x-should-retry', 'false')
  }
  const message = status === 500 ? `Something went wrong on our side. Quote call ${audience.callId}.` : words
  const metadata = metadataOf(refusal, audience.callId)
  const body =
    audience.dialect === 'openai'
      ? {
          error: {
            message,
            type: openaiType,
            code,
            param: null,
            ...extra,
            metadata,
          },
        }
      : {
          type: 'error',
          error: { type: anthropicType(refusal), message, ...extra, metadata },
          request_id: audience.callId,
        }
  return { status, headers, body: JSON.stringify(body) }
}

const codexWords = 'x-codex-promo-message'

/** Without the time of the reset, and without a full stop. */
function spentInWords({ message, reason }: Refusal, more: string | undefined): string {
  const at = message.lastIndexOf(', so ')
  const whom = reason === 'balance_exhausted' ? 'whoever runs this installation to credit it' : 'its owner to raise it'
  const words = at < 0 ? message : `${message.slice(0, at)}. Ask ${whom}`
  return more === undefined ? words : `${words}, or here: ${more}`
}

/** The headers of the limit, and no time to wait where the call is larger than all of it. */
function tellRate(headers: string[], { budget, retryAfterS }: Refusal, { dialect, nowMs }: RefusalAudience): void {
  if (retryAfterS === undefined) headers.push('x-should-retry', 'false')
  if (!budget || (budget.unit !== 'requests' && budget.unit !== 'tokens')) return
  // A call is one request: where it may not pass there is none left, whatever has been heard of those of other gateways.
  const remaining = budget.unit === 'requests' ? 0 : Math.max(0, budget.limit - budget.spent - (budget.held ?? 0))
  const resetsAtMs = budget.resets_at_ms ?? nextMinute(nowMs)
  pushRate(headers, dialect, budget.unit, { limit: budget.limit, remaining, resetsAtMs }, nowMs)
}

/** What a program may want to know of the refusal; amounts as decimal text where they are money. */
export function metadataOf(refusal: Refusal, callId: string): Record<string, unknown> {
  const { budget } = refusal
  if (!budget) return { reason: refusal.reason, request_id: callId }
  return {
    reason: refusal.reason,
    budget_id: budget.budget_id,
    budget_name: budget.name,
    scope: budget.scope,
    copy: budget.copy,
    unit: budget.unit,
    limit: formatAmount(budget.limit, budget.unit),
    spent: formatAmount(budget.spent, budget.unit),
    held: formatAmount(budget.held ?? 0, budget.unit),
    window: budget.window,
    resets_at: budget.resets_at_ms === undefined ? null : new Date(budget.resets_at_ms).toISOString(),
    request_id: callId,
    request_more: pathForMore(refusal) ?? null,
    // One's own: most of those who are refused may not see that of the whole project.
    my_usage: budget.scope.project === undefined ? null : `/accounts/projects/${budget.scope.project}/llm-proxy/usage`,
  }
}

/** No more of a budget helps, or nobody knows whether it would. */
const notForMore: ReadonlySet<RefusalReason> = new Set(['budget_unavailable', 'budget_not_bounded'])

/** Where to ask for more: the link says which budget, and nothing that opens anything. */
function pathForMore({ reason, budget }: Refusal): string | undefined {
  return budget && !notForMore.has(reason) ? `/ask/${budget.budget_id}` : undefined
}

/** Header values are printable ASCII: anything else would let a name split the head. Of our own words something readable stays. */
export function toHeaderText(text: string): string {
  return text
    .replaceAll('…', '...')
    .replaceAll('’', "'")
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .slice(0, 500)
}
