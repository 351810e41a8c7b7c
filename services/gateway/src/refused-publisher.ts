import { type Bus, publishEvent } from '@sluice/bus'
import { CallRefused, type CallRefusedData, ContractError, partitionOf } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'

/*
 * Publishes refused calls. They are never billed, so they live in memory: at most 10,000 wait while NATS is away, then the
 * oldest are dropped and counted. A client that hammers a closed door cannot flood the bus: in each second the first five
 * refusals of a key go out as they are, the rest as one message for each reason and budget, with their count.
 */

export interface RefusedPublisher {
  refuse: (data: CallRefusedData) => void
  /** Refused calls that were never published, since the process began. */
  dropped: () => number
  /** Publishes what waits, for at most `timeoutMs`. */
  close: (timeoutMs?: number) => Promise<void>
}

export interface RefusedPublisherOptions {
  bus: Bus
  log: Logger
  maxWaiting?: number
  /** How long a second lasts. */
  secondMs?: number
}

const perKeyAndSecond = 5
const maxInFlight = 32

export function createRefusedPublisher(options: RefusedPublisherOptions): RefusedPublisher {
  const { bus, log, maxWaiting = 10_000, secondMs = 1_000 } = options
  let waiting: CallRefusedData[] = []
  let dropped = 0
  let inFlight = 0
  let retryTimer: NodeJS.Timeout | undefined
  let secondTimer: NodeJS.Timeout | undefined
  let closed = false
  /** Of the current second: refusals by key, and what is beyond the first few by key, reason and budget. */
  const perKey = new Map<string, number>()
  const beyond = new Map<string, CallRefusedData>()

  function refuse(data: CallRefusedData): void {
    if (closed) return
    const key = data.identity?.key_id ?? data.identity?.project_id ?? ''
    const count = (perKey.get(key) ?? 0) + 1
    perKey.set(key, count)
    secondTimer ??= setTimeout(endSecond, secondMs)
    if (count <= perKeyAndSecond) enqueue(data)
    else collect(`${key} ${data.reason} ${data.budget?.budget_id ?? ''}`, data)
  }

  function collect(group: string, data: CallRefusedData): void {
    const first = beyond.get(group)
    if (first) first.count += data.count
    else beyond.set(group, { ...data })
  }

  function endSecond(): void {
    clearTimeout(secondTimer)
    secondTimer = undefined
    perKey.clear()
    for (const data of beyond.values()) enqueue(data)
    beyond.clear()
  }

  function enqueue(data: CallRefusedData): void {
    waiting.push(data)
    if (waiting.length > maxWaiting) {
      // A tenth at once, since taking the first off an array costs its length.
      const gone = waiting.splice(0, Math.ceil(maxWaiting / 10))
      for (const { count } of gone) dropped += count
      log.warn({ dropped }, 'refused calls dropped: the bus is away')
    }
    pump()
  }

  function pump(): void {
    while (inFlight < maxInFlight && waiting.length > 0 && bus.isConnected() && !retryTimer) {
      const batch = waiting
      waiting = batch.slice(maxInFlight - inFlight)
      for (const data of batch.slice(0, maxInFlight - inFlight)) void publish(data)
    }
    if (waiting.length > 0 && !bus.isConnected()) retrySoon()
  }

  async function publish(data: CallRefusedData): Promise<void> {
    inFlight++
    try {
      const partition = data.identity ? partitionOf(data.identity.project_id) : 0
      const meta = { id: data.call_id, source: `/gateway/${data.gateway_id}`, timeMs: data.refused_at_ms }
      await publishEvent(bus, CallRefused, [partition], data, meta)
    } catch (err) {
      if (err instanceof ContractError) {
        dropped += data.count
        log.error({ err }, 'refused call dropped')
      } else {
        waiting.unshift(data)
        retrySoon()
      }
    } finally {
      inFlight--
      pump()
    }
  }

  function retrySoon(): void {
    retryTimer ??= setTimeout(() => {
      retryTimer = undefined
      pump()
    }, 500)
  }

  return {
    refuse,
    dropped: () => dropped,
    async close(timeoutMs = 1_000) {
      endSecond()
      closed = true
      const deadline = performance.now() + timeoutMs
      while ((waiting.length > 0 || inFlight > 0) && performance.now() < deadline)
        await new Promise(resolve => setTimeout(resolve, 10))
      clearTimeout(retryTimer)
      for (const { count } of waiting) dropped += count
      waiting = []
    },
  }
}
