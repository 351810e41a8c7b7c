import type { Bus } from '@sluice/bus'
import { GatewayHeartbeat, type GatewayHeartbeatData } from '@sluice/contracts'

export interface HeartbeatOptions {
  bus: Bus
  gatewayId: string
  epoch: number
  /** Read at each beat. */
  read: () => Pick<GatewayHeartbeatData, 'ready' | 'active_calls' | 'unpublished_events'>
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
