/**
 * Calls that their clients leave before they end: where the machine is so slow that one has ended first, others are made whose
 * provider takes longer.
 */
export async function beforeTheEnd<T>(
  leave: (everyMs: number) => Promise<T>,
  eventsOf: (left: T) => readonly { status: string }[],
  firstEveryMs = 15,
): Promise<T> {
  for (let everyMs = firstEveryMs; ; everyMs *= 4) {
    const left = await leave(everyMs)
    if (everyMs > 33 * firstEveryMs || eventsOf(left).every(({ status }) => status !== 'completed')) return left
  }
}
