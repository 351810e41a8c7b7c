import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream'
import type { Bus } from '@sluice/bus'
import { consumers } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { streamPurged } from '../events.ts'

const stream = 'USAGE'
const fullFrom = 0.7

/** How full the stream is, and up to where it was emptied. */
export interface StreamRelief {
  /** Bytes of the stream's limit, in thousandths. */
  fullPerMille: number
  /** First message that is kept; undefined: nothing was deleted. */
  keptFrom: number | undefined
}

/**
 * Where the stream is above 70 % of its bytes: deletes what every durable consumer has acknowledged, and nothing else. The
 * usage log has all of it. Without this a full stream refuses, and usage waits in the journals of the gateways.
 */
export async function relieveStream(bus: Bus): Promise<StreamRelief> {
  const manager = await jetstreamManager(bus.connection, { timeout: 5_000 })
  const { state, config } = await manager.streams.info(stream)
  const fullPerMille = config.max_bytes > 0 ? Math.floor((state.bytes * 1000) / config.max_bytes) : 0
  if (fullPerMille <= fullFrom * 1000) return { fullPerMille, keptFrom: undefined }
  const keptFrom = (await findFloor(manager)) + 1
  if (keptFrom <= state.first_seq) return { fullPerMille, keptFrom: undefined }
  await manager.streams.purge(stream, { seq: keptFrom })
  return { fullPerMille, keptFrom }
}

/** Up to which message every durable consumer has acknowledged everything. One that is not there has acknowledged nothing. */
async function findFloor(manager: JetStreamManager): Promise<number> {
  const waiting = new Set<string>(
    Object.entries(consumers).flatMap(([name, of]) => (of.stream === stream ? [name] : [])),
  )
  let floor = Number.MAX_SAFE_INTEGER
  for await (const { config, name, ack_floor } of manager.consumers.list(stream)) {
    // Whoever reads a stretch again has no name of its own, and nothing that is acknowledged is new to it.
    if (config.durable_name === undefined) continue
    waiting.delete(name)
    floor = Math.min(floor, ack_floor.stream_seq)
  }
  return waiting.size > 0 ? 0 : floor
}

/** Looks each `everyMs` whether the stream needs relief. */
export function startStreamRelief(bus: Bus, options: { everyMs: number; log: Logger }): { close: () => Promise<void> } {
  let running: Promise<void> | undefined
  const timer = setInterval(() => {
    running ??= relieveStream(bus)
      .then(relief => streamPurged(options.log, relief))
      .catch(err => options.log.warn({ err }, 'stream not looked at, will be tried again'))
      .finally(() => {
        running = undefined
      })
  }, options.everyMs)
  return {
    close: async () => {
      clearInterval(timer)
      await running
    },
  }
}
