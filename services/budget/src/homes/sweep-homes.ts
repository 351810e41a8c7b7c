import type { Logger } from '@sluice/runtime'
import type { OwnedHome } from './ownership-store.ts'
import type { SweptHome } from './sweep-store.ts'

export interface SweepDeps {
  owned: () => readonly OwnedHome[]
  sweepSilent: (owned: OwnedHome, silentBeforeMs: number, nowMs: number) => Promise<SweptHome>
  expireUnresolved: (owned: OwnedHome, sinceMs: number, nowMs: number) => Promise<SweptHome>
  /** Called after each sweep, whatever it found. */
  onSwept: (swept: SweptHome) => void
  measure: () => Promise<void>
  silentMs: number
  unresolvedMs: number
  intervalMs: number
  log: Logger
}

/** A home that was taken just now may not have been able to hear anyone: gateways get this long to be heard. */
const graceMs = 60_000

/** Looks for gateways that are silent and for holds that are unresolved for too long, in the homes that are owned. */
export function startSweeps(deps: SweepDeps): { close: () => Promise<void> } {
  const ownedSince = new Map<string, number>()
  let running: Promise<void> | undefined
  let isClosed = false

  async function sweepHome(owned: OwnedHome, sinceMs: number): Promise<void> {
    const nowMs = Date.now()
    if (nowMs - sinceMs >= Math.min(graceMs, deps.silentMs))
      deps.onSwept(await deps.sweepSilent(owned, nowMs - deps.silentMs, nowMs))
    deps.onSwept(await deps.expireUnresolved(owned, nowMs - deps.unresolvedMs, nowMs))
  }

  async function sweep(): Promise<void> {
    const owned = deps.owned()
    const known = new Set(owned.map(keyOf))
    for (const key of ownedSince.keys()) if (!known.has(key)) ownedSince.delete(key)
    for (const home of owned) {
      if (isClosed) return
      const sinceMs = ownedSince.get(keyOf(home)) ?? Date.now()
      ownedSince.set(keyOf(home), sinceMs)
      await sweepHome(home, sinceMs)
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
