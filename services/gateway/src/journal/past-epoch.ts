import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { LeaseTotals } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { GatewayPublisher } from '../gateway-publisher.ts'
import type { FindMark, UsagePublisher } from '../usage-publisher.ts'
import { epochSource } from './epoch-source.ts'
import { syncDirectory } from './gateway-identity.ts'
import type { EndedEpoch } from './replay.ts'

/**
 * Tells the homes of budgets that a run has ended, and what its journal says of leases; one that names none has used none of those
 * it was granted. Resolves when every home has answered, or at `stopping`. Until then the journal stays, and whoever has it next
 * tells them again: the same. What throws is tried again.
 */
export type OnRunEnded = (
  run: { gatewayId: string; epoch: number; leases: readonly LeaseTotals[] },
  stopping: AbortSignal,
) => Promise<void>

export interface PastEpochDeps {
  publisher: UsagePublisher
  gatewayPublisher: GatewayPublisher
  findMark: FindMark
  onRunEnded?: OnRunEnded | undefined
  /** Who closes it. */
  gatewayId: string
  log: Logger
  /** Aborted: stop where it stands; the next run goes on. */
  stopping: AbortSignal
}

/** An ended epoch on its way out of its directory. */
export interface PastEpoch {
  /** Events that the stream has not acknowledged. */
  unpublished: () => number
  /** Resolves when everything is posted and its segments are gone, or at `stopping`. */
  finished: Promise<void>
}

/**
 * Publishes what billing has not posted of an ended epoch, then `gateway.epoch-closed`, and deletes its segments, oldest
 * first, when billing's marks cover them.
 */
export function publishPastEpoch(deps: PastEpochDeps, ended: EndedEpoch): PastEpoch {
  const { publisher, findMark, log, stopping } = deps
  const { directory, gatewayId, epoch, before, last } = ended
  const source = epochSource({
    directory,
    gatewayId,
    epoch,
    before,
    from: () => ended.segments[0]?.number ?? 1,
    limit: () => ended.end,
    log,
  })
  const publication = publisher.follow(source)
  const posted = (partition: number): number => findMark({ gatewayId, epoch, partition })?.contiguous ?? 0

  async function tellHomes(): Promise<void> {
    const { gatewayId: endedId, leases } = ended
    for (;;) {
      try {
        return await deps.onRunEnded?.({ gatewayId: endedId, epoch, leases }, stopping)
      } catch (err) {
        stopping.throwIfAborted()
        log.error({ err, gatewayId: endedId, epoch }, 'budgets are not told of an ended run, will be tried again')
        await delay(1_000, undefined, { signal: stopping })
      }
    }
  }

  async function run(): Promise<void> {
    const told = tellHomes()
    // Awaited below; whoever stops does not wait for it.
    told.catch(() => {})
    try {
      publication.wake()
      await until(() => publication.idle, stopping, 20)
      const closed = { gateway_id: gatewayId, epoch, last: [...last], closed_by: deps.gatewayId }
      await deps.gatewayPublisher.epochClosed(closed, stopping)
      let repairs = 0
      await until(
        () => {
          if (repairs++ % 10 === 0) publication.repair()
          return last.every((number, partition) => posted(partition) >= number)
        },
        stopping,
        100,
      )
      await Promise.race([told, once(stopping, 'abort')])
      stopping.throwIfAborted()
      for (const { path } of ended.segments) rmSync(path, { force: true })
      syncDirectory(directory)
      log.info({ gatewayId, epoch }, 'ended run is posted, its journal is deleted')
    } catch (error) {
      if (!stopping.aborted) throw error
    } finally {
      await publication.close()
      await source.close()
    }
  }

  return {
    unpublished: () => last.reduce((sum, number, partition) => sum + number - (publication.acked[partition] ?? 0), 0),
    finished: run(),
  }
}

async function until(met: () => boolean, stopping: AbortSignal, intervalMs: number): Promise<void> {
  while (!met()) await delay(intervalMs, undefined, { signal: stopping })
  stopping.throwIfAborted()
}
