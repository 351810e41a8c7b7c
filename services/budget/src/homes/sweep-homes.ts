import type { Logger } from '@sluice/runtime'
import type { OwnedHome } from './ownership-store.ts'
import type { DueSweeps, SweptHome } from './sweep-store.ts'

export interface SweepDeps {
  owned: () => readonly OwnedHome[]
  /** Which of these homes have something to sweep, that is silent since before `silentBeforeMs` or unresolved since before `sinceMs`. */
  findDue: (
    homes: readonly number[],
    since: { silentBeforeMs: number; sinceMs: number; nowMs: number },
  ) => Promise<DueSweeps>
  sweepSilent: (owned: OwnedHome, silentBeforeMs: number, nowMs: number) => Promise<SweptHome>
  expireUnresolved: (owned: OwnedHome, sinceMs: number, nowMs: number) => Promise<SweptHome>
  /** Called after each sweep. */
  onSwept: (swept: SweptHome) => void
  measure: () => Promise<void>
  silentMs: number
  unresolvedMs: number
  intervalMs: number
  log: Logger
}

/** A home that was taken just now, or has stood still, may not have been able to hear anyone: gateways get this long to be heard. */
const graceMs = 60_000

/** Looks for gateways that are silent and for holds that are unresolved for too long, in the homes that are owned. */
export function startSweeps(deps: SweepDeps): { close: () => Promise<void> } {
  const ownedSince = new Map<string, number>()
  let lookedAtMs = Date.now()
  let running: Promise<void> | undefined
  let isClosed = false

  async function sweep(): Promise<void> {
    const owned = deps.owned()
    const known = new Set(owned.map(keyOf))
    for (const key of ownedSince.keys()) if (!known.has(key)) ownedSince.delete(key)
    const nowMs = Date.now()
    // This process was paused, or its database was away: nobody was heard, and homes that nobody took are owned as before.
    if (nowMs - lookedAtMs > Math.max(graceMs, deps.silentMs / 2)) ownedSince.clear()
    for (const home of owned) if (!ownedSince.has(keyOf(home))) ownedSince.set(keyOf(home), nowMs)
    const silentBeforeMs = nowMs - deps.silentMs
    const sinceMs = nowMs - deps.unresolvedMs
    const due = await deps.findDue(
      owned.map(({ home }) => home),
      { silentBeforeMs, sinceMs, nowMs },
    )
    lookedAtMs = nowMs
    const hasHeard = (home: OwnedHome) =>
      nowMs - (ownedSince.get(keyOf(home)) ?? nowMs) >= Math.min(graceMs, deps.silentMs)
    for (const home of owned) {
      if (isClosed) return
      if (due.silent.has(home.home) && hasHeard(home)) deps.onSwept(await deps.sweepSilent(home, silentBeforeMs, nowMs))
      if (due.unresolved.has(home.home)) deps.onSwept(await deps.expireUnresolved(home, sinceMs, nowMs))
    }
    await deps.measure()
  }

  const timer = setInterval(() => {
    running ??= sweep()
      .catch(err => deps.log.warn({ err }, 'leases not looked through, will be tried again'))
      .finally(() => {
        running = undefined
      })
  }, deps.intervalMs)
  return {
    close: async () => {
      isClosed = true
      clearInterval(timer)
      await running
    },
  }
}

function keyOf({ home, term }: OwnedHome): string {
  return `${home} ${term}`
}
