import type { Metered } from '../cost.ts'
import { asObject, asText, type JsonObject } from '../json.ts'
import { ProviderError } from '../provider-error.ts'

/** What became of the credit that a request brings along. */
export type CreditStatus = { readonly type: 'redeemed' } | { readonly type: 'not_applied'; readonly reason: 'expired' }

/** The token that a declined message hands out for a retry on another model. */
export const CREDIT_TOKEN = 'fct_simulated'

/** Only the simulator's own token is good; another one counts as too old. @throws ProviderError */
export function readCredit(body: JsonObject): CreditStatus | undefined {
  const given = body.fallback_credit_token
  if (given === undefined || given === null) return undefined
  const token = asText(given) ?? asText(asObject(given).token)
  if (token === CREDIT_TOKEN) return { type: 'redeemed' }
  if (asObject(given).mode === 'best_effort') return { type: 'not_applied', reason: 'expired' }
  throw new ProviderError(400, 'invalid_request_error', 'fallback_credit_token: the token has expired')
}

/** As if the conversation had been on this model all along: what it would write to the cache is read from there. */
export function reprice(metered: Metered, credit: CreditStatus | undefined): Metered {
  if (credit?.type !== 'redeemed') return metered
  return {
    ...metered,
    input_from_cache: metered.input_from_cache + metered.input_to_cache_5m + metered.input_to_cache_1h,
    input_to_cache_5m: 0,
    input_to_cache_1h: 0,
  }
}
