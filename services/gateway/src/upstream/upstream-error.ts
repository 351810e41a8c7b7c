export type UpstreamErrorCode =
  | 'CONNECT_TIMEOUT'
  | 'HEADERS_TIMEOUT'
  | 'IDLE_TIMEOUT'
  | 'OTHER_SIDE_CLOSED'
  | 'BAD_RESPONSE'
  | 'BAD_REQUEST'
  | 'CLOSED'
  | 'HANDLER_FAILED'

/** An exchange that failed for a reason that the system has no code for. */
export class UpstreamError extends Error {
  override name = 'UpstreamError'
  readonly code: UpstreamErrorCode
  constructor(code: UpstreamErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** @param what the provider sent that is no response we can read */
export function badResponse(what: string): UpstreamError {
  return new UpstreamError('BAD_RESPONSE', `the provider sent ${what}`)
}
