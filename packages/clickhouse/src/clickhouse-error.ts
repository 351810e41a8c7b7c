/** Thrown where every client is taken and too many queries wait already. */
export class ClickhouseBusyError extends Error {
  override name = 'ClickhouseBusyError'
}

/** Too slow, too many at once, too much memory, or a table that is not there or not writable yet. */
const passing: ReadonlySet<string> = new Set([
  'TIMEOUT_EXCEEDED',
  'TOO_MANY_SIMULTANEOUS_QUERIES',
  'MEMORY_LIMIT_EXCEEDED',
  'NETWORK_ERROR',
  'SOCKET_TIMEOUT',
  'UNKNOWN_TABLE',
  'UNKNOWN_DATABASE',
  'TABLE_IS_READ_ONLY',
  'KEEPER_EXCEPTION',
  'ALL_CONNECTION_TRIES_FAILED',
])

/**
 * Whether the same query may succeed later: the store is away, busy or not ready. False: the query itself is wrong.
 * What is no answer of ClickHouse at all (refused, reset, timed out) is the connection's.
 */
export function isClickhouseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return false
  const type = typeOfAnswer(error)
  return type === undefined || passing.has(type)
}

const dataErrors =
  /^(CANNOT_PARSE_\w+|CANNOT_CONVERT_TYPE|TYPE_MISMATCH|INCORRECT_DATA|ARGUMENT_OUT_OF_BOUND|VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE|DECIMAL_OVERFLOW|TOO_LARGE_STRING_SIZE|CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN)$/

/** Whether the rows of an insert are at fault: one of them cannot be read as what its columns hold, now or ever. */
export function isClickhouseDataError(error: unknown): boolean {
  return error instanceof Error && dataErrors.test(typeOfAnswer(error) ?? '')
}

/** The error name ClickHouse answered with. Embedded and remote clients throw classes of the same shape, not the same class. */
function typeOfAnswer(error: Error): string | undefined {
  const { code, type } = error as { code?: unknown; type?: unknown }
  return typeof code === 'string' && /^\d+$/.test(code) && typeof type === 'string' ? type : undefined
}
