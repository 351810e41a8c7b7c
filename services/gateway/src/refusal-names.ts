import { type Refusal, type RefusalReason, refusalReasons } from './refusal.ts'

/** What clients of OpenAI's dialect know a refusal by, as a status, in a stream and on a socket. */
export function openaiNames({ reason, budget }: Refusal): { type: string; code: string } {
  const isOfTokens = reason === 'rate_limited' && budget?.unit === 'tokens'
  return {
    type: isOfTokens ? 'tokens' : (openaiTypes[reason] ?? defaultOpenaiType(refusalReasons[reason])),
    code: openaiCodes[reason] ?? reason,
  }
}

/** The same for Anthropic's. */
export function anthropicType({ reason }: Refusal): string {
  return anthropicTypes[reason] ?? defaultAnthropicType(refusalReasons[reason])
}

const openaiTypes: Partial<Record<RefusalReason, string>> = {
  balance_exhausted: 'insufficient_quota',
  budget_spent: 'insufficient_quota',
  budget_held: 'requests',
  rate_limited: 'requests',
}
const openaiCodes: Partial<Record<RefusalReason, string>> = {
  balance_exhausted: 'insufficient_quota',
  budget_spent: 'insufficient_quota',
  unauthorized: 'invalid_api_key',
  budget_held: 'rate_limit_exceeded',
  rate_limited: 'rate_limit_exceeded',
}
const anthropicTypes: Partial<Record<RefusalReason, string>> = {
  balance_exhausted: 'billing_error',
  budget_spent: 'billing_error',
  budget_held: 'rate_limit_error',
  rate_limited: 'rate_limit_error',
  body_too_large: 'request_too_large',
  not_found: 'not_found_error',
}

function defaultOpenaiType(status: number): string {
  return status >= 500
    ? 'server_error'
    : status === 401
      ? 'authentication_error'
      : status === 403
        ? 'permission_error'
        : 'invalid_request_error'
}

function defaultAnthropicType(status: number): string {
  if (status >= 500) return status === 503 ? 'overloaded_error' : 'api_error'
  return status === 401 ? 'authentication_error' : status === 403 ? 'permission_error' : 'invalid_request_error'
}
