import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, publishEvent } from '@sluice/bus'
import { GatewayEpochClosed, type GatewayEpochClosedData, GatewayHello, type GatewayHelloData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/** Says what becomes of gateways' runs. Each message is sent until JetStream has it, or until `stopping`. */
export interface GatewayPublisher {
  /** A run has begun, or a journal was adopted. */
  hello: (data: Omit<GatewayHelloData, 'at_ms' | 'leases'>, stopping: AbortSignal) => Promise<void>
  /** No event of the run is to come. @throws when stopped before the stream has it */
  epochClosed: (data: Omit<GatewayEpochClosedData, 'closed_at_ms'>, stopping: AbortSignal) => Promise<void>
}

export function createGatewayPublisher(bus: Bus, log: Logger): GatewayPublisher {
  async function untilAcked(what: string, publish: () => Promise<void>, stopping: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries++) {
      stopping.throwIfAborted()
      try {
        return await publish()
      } catch (err) {
        log.warn({ err, what, tries }, 'not published, will be tried again')
        await delay(Math.min(100 * 2 ** tries, 5_000), undefined, { signal: stopping })
      }
    }
  }

  return {
    hello: (about, stopping) => {
      const data = { ...about, at_ms: Date.now(), leases: [] }
      const run = `${data.gateway_id}.${data.epoch}`
      const meta = { id: `${run}.${data.at_ms}`, source: `/gateway/${data.gateway_id}`, timeMs: data.at_ms }
      return untilAcked('hello', () => publishEvent(bus, GatewayHello, [], data, meta), stopping)
    },
    epochClosed: (about, stopping) => {
      const data = { ...about, closed_at_ms: Date.now() }
      const run = `${data.gateway_id}.${data.epoch}`
      const meta = { id: run, source: `/gateway/${data.closed_by}`, timeMs: data.closed_at_ms }
      return untilAcked('end of epoch', () => publishEvent(bus, GatewayEpochClosed, [], data, meta), stopping)
    },
  }
}
