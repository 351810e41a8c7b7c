const second = 1_000
const minute = 60 * second
const hour = 60 * minute

/** Between attempts: a receiver that restarts hears within seconds, one that is away for a day still hears. */
const delaysMs = [
  5 * second,
  30 * second,
  2 * minute,
  10 * minute,
  30 * minute,
  hour,
  2 * hour,
  4 * hour,
  8 * hour,
  8 * hour,
]

/** How long to wait behind so many attempts that failed; undefined: it is given up. */
export function retryDelayMs(attempts: number): number | undefined {
  return delaysMs[attempts - 1]
}
