import { type Budget, isPerChosen, otherCopy, unclaimed } from '@sluice/contracts'

/** Every no that the gateway can say, with its default status. `refusal-answer.ts` writes it in the client's dialect. */
export const refusalReasons = {
  invalid_request: 400,
  path_not_supported: 400,
  budget_not_bounded: 400,
  model_not_priced: 400,
  model_missing: 400,
  previous_response_not_found: 400,
  unauthorized: 401,
  credential_revoked: 401,
  model_not_allowed: 403,
  path_not_open: 403,
  own_credential_required: 403,
  llm_not_granted: 403,
  ip_not_allowed: 403,
  room_not_granted: 403,
  room_closed: 403,
  room_unknown: 403,
  origin_not_allowed: 403,
  project_disabled: 403,
  stopped_by_admin: 403,
  not_found: 404,
  body_too_large: 413,
  balance_exhausted: 402,
  budget_spent: 429,
  budget_held: 429,
  rate_limited: 429,
  internal: 500,
  provider_unreachable: 502,
  provider_timeout: 504,
  metering_unavailable: 503,
  view_stale: 503,
  budget_unavailable: 503,
  records_unavailable: 503,
  overloaded: 503,
  shutting_down: 503,
  provider_not_configured: 503,
  proxy_loop: 508,
} as const
export type RefusalReason = keyof typeof refusalReasons

/** A budget or a rate limit says no: the next call or turn may find more, so whoever makes them stays. */
export function isOfBudgets(reason: RefusalReason): boolean {
  return reason.startsWith('budget_') || reason === 'rate_limited' || reason === 'balance_exhausted'
}

/** The budget that said no. Amounts in the budget's unit; nano-USD for `usd`. */
export interface RefusalBudget {
  budget_id: string
  name: string
  copy: string
  per?: Budget['per']
  scope: Budget['scope']
  unit: Budget['unit']
  limit: number
  spent: number
  /** By calls that run, and by such whose end is not known. */
  held?: number
  /** By the call, at least. */
  need?: number
  window: Budget['window']
  resets_at_ms: number | undefined
}

/** What a budget is called in messages, and for whom it stands where it has copies. */
export function nameOf(budget: RefusalBudget): string {
  const { name, copy } = budget
  return copy === '' ? `"${name}"` : `"${name}" for ${isPerChosen(budget) ? wordsOfChosen(budget) : copy}`
}

function wordsOfChosen({ per, copy }: RefusalBudget): string {
  const what = String(per).replace(':', ' ')
  if (copy === unclaimed) return `calls that name no ${what}`
  return copy === otherCopy ? `every other ${what}` : `${what} ${copy}`
}

/** A no, before it is put into a dialect. The message is for the caller: what happened, to whom, what to do. */
export class Refusal extends Error {
  override name = 'Refusal'
  readonly reason: RefusalReason
  readonly budget: RefusalBudget | undefined
  /** Seconds after which trying again may help. */
  readonly retryAfterS: number | undefined
  /** Of an admin's stop. */
  readonly stopId: string | undefined
  constructor(
    reason: RefusalReason,
    message: string,
    options: { budget?: RefusalBudget; retryAfterS?: number; stopId?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.reason = reason
    this.budget = options.budget
    this.retryAfterS = options.retryAfterS
    this.stopId = options.stopId
  }
}

/** The journal takes no new calls. */
export function meteringUnavailable(cause: unknown): Refusal {
  return new Refusal(
    'metering_unavailable',
    'This gateway cannot record usage right now, so it takes no calls. Try again in a moment.',
    { retryAfterS: 1, cause },
  )
}
