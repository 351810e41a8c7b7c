/**
 * An error with a public face. `message` is for the caller and says what to do; `detail` and `cause` are for the operator's
 * log and never leave the process. Neither ever holds a secret, a prompt or a completion.
 */
export class AppError extends Error {
  override name = 'AppError'
  readonly code: string
  readonly statusCode: number
  readonly detail: unknown
  constructor(code: string, statusCode: number, message: string, options: { cause?: unknown; detail?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.statusCode = statusCode
    this.detail = options.detail
  }
}

/** An entry of a service's `errors.ts`: code, status, public message. */
export interface ErrorDefinition {
  code: string
  statusCode: number
  message: string
}

/** Makes the error of a table row; `message` replaces the row's where the case can say more. */
export function errorOf(
  row: ErrorDefinition,
  options: { message?: string; cause?: unknown; detail?: unknown } = {},
): AppError {
  return new AppError(row.code, row.statusCode, options.message ?? row.message, options)
}
