import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@sluice/runtime'
import type { GatewayPublisher } from '../gateway-publisher.ts'
import type { FindMark, UsagePublisher } from '../usage-publisher.ts'
import { epochSource } from './epoch-source.ts'
import { syncDirectory } from './gateway-identity.ts'
import type { EndedEpoch } from './replay.ts'

export interface PastEpochDeps {
  publisher: UsagePublisher
  gatewayPublisher: GatewayPublisher
  findMark: FindMark
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

  async function run(): Promise<void> {
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
