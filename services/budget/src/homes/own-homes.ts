import type { Logger } from '@sluice/runtime'
import type { OwnedHome } from './ownership-store.ts'

export interface OwnHomesDeps {
  /** Renews what is owned and takes what is free; `given` is to be given up as soon as nothing of it is under way. */
  renew: (owned: readonly OwnedHome[]) => Promise<{ owned: OwnedHome[]; given: OwnedHome[] }>
  giveUp: (homes: readonly OwnedHome[]) => Promise<void>
  /** Whether gateways can reach this instance: if not, its homes are better with another. */
  isReachable: () => boolean
  /** Says that this instance ends, or cannot be reached: it has no share of homes. */
  forget: () => Promise<void>
  /** Begins to serve a home. `drop`: it is found to be another's. */
  serve: (owned: OwnedHome, drop: () => void) => { close: () => Promise<void> }
  log: Logger
}

/** Homes last three seconds: one that misses a renewal or two keeps them. */
const renewMs = 500

/** The homes that this instance owns, served for as long as it does. */
export interface OwnHomes {
  readonly owned: readonly OwnedHome[]
  /** Gives all of them up: whoever is there takes them at once. */
  close: () => Promise<void>
}

export async function ownHomes(deps: OwnHomesDeps): Promise<OwnHomes> {
  const served = new Map<number, { owned: OwnedHome; close: () => Promise<void> }>()
  let isClosed = false

  async function stop({ home, term }: OwnedHome): Promise<void> {
    const serving = served.get(home)
    if (serving?.owned.term !== term) return
    served.delete(home)
    await serving.close()
  }

  async function giveUpAll(): Promise<void> {
    const all = [...served.values()].map(({ owned }) => owned)
    await Promise.all(all.map(stop))
    await deps.forget()
    await deps.giveUp(all)
  }

  async function renew(): Promise<void> {
    if (!deps.isReachable()) {
      await giveUpAll()
      return
    }
    const believed = [...served.values()].map(({ owned }) => owned)
    const { owned, given } = await deps.renew(believed)
    const isStill = ({ home, term }: OwnedHome) => owned.some(one => one.home === home && one.term === term)
    await Promise.all(believed.filter(one => !isStill(one)).map(stop))
    if (given.length > 0) {
      await deps.giveUp(given)
      deps.log.info({ homes: given.map(({ home }) => home) }, 'homes given up to other instances')
    }
    if (isClosed) return
    const taken = owned.filter(({ home }) => !served.has(home))
    for (const one of taken) served.set(one.home, { owned: one, close: deps.serve(one, () => void stop(one)).close })
    if (taken.length > 0) deps.log.info({ homes: taken.map(({ home }) => home) }, 'homes taken')
  }

  let running: Promise<void> | undefined
  const tick = () => {
    // A database that is slow is asked once at a time.
    running ??= renew()
      .catch(err => deps.log.warn({ err }, 'homes not renewed'))
      .finally(() => {
        running = undefined
      })
    return running
  }
  await tick()
  const timer = setInterval(() => void tick(), renewMs)

  return {
    get owned() {
      return [...served.values()].map(({ owned }) => owned)
    },
    close: async () => {
      isClosed = true
      clearInterval(timer)
      await running
      await giveUpAll().catch(err =>
        deps.log.warn({ err }, 'homes not given up: others take them when they have run out'),
      )
    },
  }
}
