/** Where a window is going at the pace of what it has spent. */
export interface Forecast {
  /** What it will have spent at its end. */
  projected: bigint
  /** When its limit is reached; undefined: not in this window, or it has been. */
  exhaustedAtMs: number | undefined
}

/** A tenth of the window says nothing yet: somebody's first call of the day would cry wolf. */
const leastShare = 10n
const leastElapsedMs = 5 * 60_000

/**
 * Goes on with a window's pace: what was spent by the time that has passed of it. Undefined where too little of it has, or nothing was
 * spent; a window without an end has no forecast.
 * @param window from when on it counts, which may be behind its begin
 */
export function forecastOf(
  { spent, limit }: { spent: bigint; limit: bigint },
  window: { startMs: number; endMs: number | undefined },
  nowMs: number,
): Forecast | undefined {
  if (window.endMs === undefined || spent <= 0n) return undefined
  const elapsed = BigInt(Math.max(0, nowMs - window.startMs))
  const length = BigInt(window.endMs - window.startMs)
  if (elapsed >= length || elapsed < BigInt(leastElapsedMs) || elapsed * leastShare < length) return undefined
  const projected = (spent * length) / elapsed
  const atMs = window.startMs + Number((elapsed * limit) / spent)
  return { projected, exhaustedAtMs: spent < limit && atMs < window.endMs ? atMs : undefined }
}
