import { setTimeout as delay } from 'node:timers/promises'
import type { ServicePlan } from '@sluice/stack'

/** Sends calls in turn to those gateways that say that they are ready. */
export interface Balancer {
  /** Where the next call goes: to nobody who has not just said that it is ready. */
  next: () => Promise<string>
  /** Whether that gateway gets calls. */
  serves: (url: string) => boolean
  close: () => Promise<void>
}

const askEachMs = 50
/** So long a call waits for a gateway that is ready, and then goes to any. */
const patienceMs = 20_000

/**
 * As load balancers do it: it knows of a gateway what its readiness says, asked again and again, and tries no call twice.
 * @param freshMs how old such an answer may be: on a machine that others use, looks may come late, and nobody is to hear
 * calls for it later than it is promised
 */
export async function startBalancer(
  gateways: readonly Pick<ServicePlan, 'url' | 'readyUrl'>[],
  freshMs: number,
): Promise<Balancer> {
  /** When each was asked that has answered that it is ready. */
  const readyAt = new Map<string, number>()
  const ask = async ({ url, readyUrl }: Pick<ServicePlan, 'url' | 'readyUrl'>): Promise<void> => {
    const askedAt = performance.now()
    const isReady = await fetch(readyUrl, { signal: AbortSignal.timeout(1_000) }).then(
      async answer => {
        await answer.arrayBuffer()
        return answer.ok
      },
      () => false,
    )
    if (isReady) readyAt.set(url, askedAt)
    else readyAt.delete(url)
  }
  let isOpen = true
  const watch = async (gateway: Pick<ServicePlan, 'url' | 'readyUrl'>): Promise<void> => {
    while (isOpen) {
      await ask(gateway)
      await delay(askEachMs)
    }
  }
  await Promise.all(gateways.map(ask))
  const watching = gateways.map(watch)
  let turn = 0
  return {
    async next() {
      const since = performance.now()
      for (;;) {
        const now = performance.now()
        const fresh = [...readyAt].filter(([, askedAt]) => now - askedAt < freshMs).map(([url]) => url)
        const choice = fresh[turn++ % fresh.length]
        if (choice !== undefined) return choice
        if (now - since > patienceMs) return gateways[0]?.url ?? ''
        await delay(askEachMs / 10)
      }
    },
    serves: url => readyAt.has(url),
    async close() {
      isOpen = false
      await Promise.all(watching)
    },
  }
}
