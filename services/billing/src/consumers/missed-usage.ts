import { jetstreamManager } from '@nats-io/jetstream'
import { type Bus, type JsMsg, readAgain } from '@sluice/bus'
import { consumers } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { UsageStore } from '../usage-store.ts'

const { stream } = consumers['billing-ledger']
/** Messages read again below the known position: several instances may have committed out of order. */
const overlap = 10_000

/**
 * Compares what is posted with the stream and reads again what may be missing, whatever was acknowledged: from the known
 * position where the stream was acknowledged beyond it (the database was restored), from the beginning where a series has
 * gaps. What is known is skipped by the marks.
 * @returns how many messages were read again
 */
export async function readMissedUsage(
  bus: Bus,
  deps: { usage: UsageStore; handle: (messages: JsMsg[]) => Promise<void>; log: Logger },
): Promise<number> {
  const manager = await jetstreamManager(bus.connection, { timeout: 5_000 })
  const { state } = await manager.streams.info(stream)
  const { ack_floor: acknowledged } = await manager.consumers.info(stream, 'billing-ledger')
  let position = await deps.usage.readStreamPosition()
  if (position > state.last_seq) {
    // A new stream counts from 1 again: the position belongs to one that is gone.
    position = 0
    await deps.usage.resetStreamPosition(position)
  }
  const hasGaps = (await deps.usage.listCompleteness()).some(series => series.gaps.length > 0)
  if (!hasGaps && acknowledged.stream_seq <= position) return 0
  const from = hasGaps ? state.first_seq : Math.max(state.first_seq, position - overlap)
  deps.log.warn({ from, position, acknowledged: acknowledged.stream_seq, hasGaps }, 'reading usage again')
  return readAgain(bus, 'billing-ledger', from, deps.handle)
}
