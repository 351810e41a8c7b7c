import { type Call, type Dialect, sendJson } from './call.ts'
import { NOTHING_METERED } from './cost.ts'

/** A refusal by the simulated provider, answered in the dialect of the call. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError'
  readonly status: number
  readonly type: string
  readonly code: string | null
  readonly headers: { [name: string]: string }

  constructor(
    status: number,
    type: string,
    message: string,
    code: string | null = null,
    headers: { [name: string]: string } = {},
  ) {
    super(message)
    this.status = status
    this.type = type
    this.code = code
    this.headers = headers
  }
}

const OPENAI_TYPES: { readonly [status: number]: readonly [type: string, code: string | null] } = {
  400: ['invalid_request_error', null],
  401: ['invalid_request_error', 'invalid_api_key'],
  403: ['invalid_request_error', 'unsupported_country_region_territory'],
  404: ['invalid_request_error', null],
  429: ['requests', 'rate_limit_exceeded'],
  503: ['server_error', 'server_overloaded'],
}

const ANTHROPIC_TYPES: { readonly [status: number]: string } = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

/** The error a provider of this dialect gives with a status. */
export function errorOfStatus(
  dialect: Dialect,
  status: number,
  message: string,
  headers: { [name: string]: string } = {},
): ProviderError {
  if (dialect === 'anthropic')
    return new ProviderError(status, ANTHROPIC_TYPES[status] ?? 'api_error', message, null, headers)
  const [type, code] = OPENAI_TYPES[status] ?? ['server_error', null]
  return new ProviderError(status, type, message, code, headers)
}

/** The error's body as the dialect writes it. */
export function errorBody(dialect: Dialect, error: ProviderError, requestId: string): object {
  return dialect === 'openai'
    ? { error: { message: error.message, type: error.type, param: null, code: error.code } }
    : { type: 'error', error: { type: error.type, message: error.message }, request_id: requestId }
}

export function sendError(call: Call, error: ProviderError): void {
  if (call.record !== undefined) {
    call.record.http_status = error.status
    call.bill.close(call.record, 'failed', NOTHING_METERED)
  }
  if (call.reply.headersSent) {
    call.reply.destroy()
    return
  }
  sendJson(call, error.status, errorBody(call.dialect, error, call.id), error.headers)
}
