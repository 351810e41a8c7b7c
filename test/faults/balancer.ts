import { setTimeout as delay } from 'node:timers/promises'
import type { ServicePlan } from '@sluice/stack'

/** Sends calls in turn to those gateways that say that they are ready. */
export interface Balancer {
  /** Where the next call goes. */
  next: () => string
  /** Whether that gateway gets calls. */
  serves: (url: string) => boolean
  close: () => Promise<void>
}

const askEachMs = 50

/** As load balancers do it: it knows of a gateway what its readiness says, asked again and again, and tries no call twice. */
export async function startBalancer(gateways: readonly Pick<ServicePlan, 'url' | 'readyUrl'>[]): Promise<Balancer> {
  const ready = new Set<string>()
  const ask = async ({ url, readyUrl }: Pick<ServicePlan, 'url' | 'readyUrl'>): Promise<void> => {
    const isReady = await fetch(readyUrl, { signal: AbortSignal.timeout(1_000) }).then(
      async answer => {
        await answer.arrayBuffer()
        return answer.ok
      },
      () => false,
    )
    if (isReady) ready.add(url)
    else ready.delete(url)
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
    next: () => {
      const choice = [...ready]
      return choice[turn++ % choice.length] ?? gateways[0]?.url ?? ''
    },
    serves: url => ready.has(url),
    async close() {
      isOpen = false
      await Promise.all(watching)
    },
  }
}
