import type { Bus } from '@sluice/bus'
import { GatewayHeartbeat, type GatewayHeartbeatData } from '@sluice/contracts'
import type { Journal } from './journal/journal.ts'
import { rateKilled } from './rate-killed.ts'
import type { PricesView } from './views/prices-view.ts'

export interface HeartbeatOptions {
  bus: Bus
  gatewayId: string
  epoch: number
  /** Read at each beat. */
  read: () => Omit<GatewayHeartbeatData, 'gateway_id' | 'epoch' | 'at_ms'>
  intervalMs?: number
}

/** Says each second that this gateway is alive. Sent on core NATS: a beat that is lost is not worth sending later. */
export function startHeartbeat({ bus, gatewayId, epoch, read, intervalMs = 1_000 }: HeartbeatOptions): {
  close: () => void
} {
  const beat = (): void => {
    if (!bus.isConnected()) return
    const data = { gateway_id: gatewayId, epoch, at_ms: Date.now(), ...read() }
    bus.connection.publish(GatewayHeartbeat.subject(), GatewayHeartbeat.encode(data))
  }
  beat()
  const timer = setInterval(beat, intervalMs)
  return { close: () => clearInterval(timer) }
}

/**
 * What billing must have heard of a journal to name what goes when it is lost with its disk: the numbers it has given out, and
 * what is open.
 */
export function tellJournal(
  journal: Pick<Journal, 'last' | 'estimateOpen'>,
  prices: PricesView,
): Required<Pick<GatewayHeartbeatData, 'last' | 'open_attempts' | 'open_nano_usd' | 'open_unrated'>> {
  const open = journal.estimateOpen({ rate: (draft, parts) => rateKilled(prices, draft, parts), nowMs: Date.now() })
  return {
    last: [...journal.last],
    open_attempts: open.attempts,
    open_nano_usd: open.nanoUsd,
    open_unrated: open.unrated,
  }
}
