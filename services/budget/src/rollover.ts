import type { Cutoff } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { OverNow } from './rollover-store.ts'

export interface RolloverDeps {
  /** What of that which ends is over now. */
  findOver: (nowMs: number) => Promise<OverNow>
  /** Ends cutoffs whose window is over; answers with those that were active. */
  endCutoffs: (nowMs: number) => Promise<Cutoff[]>
  /** Tells that raises are over. */
  endRaises: (nowMs: number) => Promise<void>
  /** Tells of copies whose window is over and that may never come again. */
  tellEnded: (nowMs: number) => Promise<void>
  /** Frees places of copies that nobody uses. */
  freePlaces: (nowMs: number) => Promise<void>
  /** Forgets a little of what is old; answers whether there is more. */
  pruneOld: (nowMs: number) => Promise<boolean>
  /** Removes what deletions have left behind in buckets. */
  forgetDeletions: (nowMs: number) => Promise<void>
  /** Called after each commit with what has changed. */
  onChange: (cutoffs: readonly Cutoff[]) => void
  intervalMs: number
  log: Logger
}

/** Tidies up behind windows that have ended, now and each `intervalMs`. Nothing is refused or admitted by it. */
export function startRollover(deps: RolloverDeps): { close: () => Promise<void> } {
  let running: Promise<void> = Promise.resolve()
  let closed = false

  async function run(): Promise<void> {
    try {
      const over = await deps.findOver(Date.now())
      for (let ended = over.cutoffs ? 1 : 0; ended > 0 && !closed; ) {
        const cutoffs = await deps.endCutoffs(Date.now())
        ended = cutoffs.length
        deps.onChange(cutoffs)
      }
      if (over.raises) await deps.endRaises(Date.now())
      await deps.tellEnded(Date.now())
      await deps.freePlaces(Date.now())
      while (!closed && (await deps.pruneOld(Date.now()))) {}
      await deps.forgetDeletions(Date.now())
    } catch (err) {
      deps.log.warn({ err }, 'tidying up failed, will be tried again')
    }
  }

  const tick = () => {
    running = running.then(run)
  }
  tick()
  const timer = setInterval(tick, deps.intervalMs)
  return {
    close: async () => {
      closed = true
      clearInterval(timer)
      await running
    },
  }
}
