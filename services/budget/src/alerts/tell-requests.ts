import type { Logger } from '@sluice/runtime'

/** Whoever tells people of requests. */
export interface Telling {
  /** Begins to tell of what nobody was told of. */
  look: () => void
  close: () => Promise<void>
}

/** Tells people of requests each time it is asked to look. Any number of processes may do so. */
export function startTelling({
  tell,
  log,
}: {
  /** Puts alerts into the queue. @returns how many; there may be more while it is more than none */
  tell: () => Promise<number>
  log: Logger
}): Telling {
  let closing = false
  let telling: Promise<void> | undefined

  async function tellAll(): Promise<void> {
    while (!closing && (await tell()) > 0);
  }
  return {
    look: () => {
      telling ??= tellAll()
        .catch((err: unknown) => log.warn({ err }, 'requests not told of, will be tried again'))
        .finally(() => {
          telling = undefined
        })
    },
    close: async () => {
      closing = true
      await telling
    },
  }
}
