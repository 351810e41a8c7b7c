import { type Kysely, sql } from 'kysely'
import { leaveOutGivenUp } from './given-up-gaps-store.ts'
import { listCompleteness } from './series-marks-store.ts'

/** How much a consumer knows that it lacks. */
export interface CompletenessState {
  /** Numbers that gateways gave to events which have not come, and that nobody has given up. */
  missingEvents: number
  /** How long the gap that was seen first has been open; 0: there is none. */
  oldestGapMs: number
  deadLetters: number
  discardedLetters: number
}

export interface CompletenessWatchOptions {
  everyMs?: number
  now?: () => number
  onState: (state: CompletenessState) => void
  onError: (error: unknown) => void
}

/**
 * Asks the completeness query again and again, for a metric and its alarm. A gap's age counts from when this process first saw
 * it: a gap of a moment ago is a message under way.
 */
export function watchCompleteness<Tables>(db: Kysely<Tables>, options: CompletenessWatchOptions) {
  const now = options.now ?? Date.now
  let seen = new Map<string, number>()

  async function look(): Promise<void> {
    const atMs = now()
    const open = new Map<string, number>()
    let missingEvents = 0
    for (const { gateway_id, epoch, partition, gaps } of await leaveOutGivenUp(db, await listCompleteness(db))) {
      for (const [first, last] of gaps) {
        missingEvents += last - first + 1
        const key = `${gateway_id}.${epoch}.${partition}.${last}`
        open.set(key, seen.get(key) ?? atMs)
      }
    }
    seen = open
    const { rows } = await sql<{ dead: number; discarded: number }>`select
      (select count(*)::int from dead_letters) as dead,
      (select count(*)::int from discarded_letters) as discarded`.execute(db)
    options.onState({
      missingEvents,
      oldestGapMs: open.size === 0 ? 0 : atMs - Math.min(...open.values()),
      deadLetters: rows[0]?.dead ?? 0,
      discardedLetters: rows[0]?.discarded ?? 0,
    })
  }

  let looking = Promise.resolve()
  const next = (): void => {
    looking = looking.then(look).catch(options.onError)
  }
  next()
  const timer = setInterval(next, options.everyMs ?? 15_000)
  return {
    close: async (): Promise<void> => {
      clearInterval(timer)
      await looking
    },
  }
}
