import type { Logger } from '@sluice/runtime'

/** Looks for requests that people have to be told of, now and every `pollMs`. Any number of processes may do so. */
export function startTelling({
  tell,
  pollMs,
  log,
}: {
  /** Puts alerts into the queue. @returns how many; there may be more while it is more than none */
  tell: () => Promise<number>
  pollMs: number
  log: Logger
}): { close: () => Promise<void> } {
  let closing = false
  let telling: Promise<void> | undefined

  async function tellAll(): Promise<void> {
    while (!closing && (await tell()) > 0);
  }
  const timer = setInterval(() => {
    telling ??= tellAll()
      .catch((err: unknown) => log.warn({ err }, 'requests not told of, will be tried again'))
      .finally(() => {
        telling = undefined
      })
  }, pollMs)
  return {
    close: async () => {
      closing = true
      clearInterval(timer)
      await telling
    },
  }
}
