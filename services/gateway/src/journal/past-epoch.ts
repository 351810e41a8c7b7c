import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, publishEvent } from '@sluice/bus'
import { GatewayEpochClosed, seriesKey } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { FindMark, UsagePublisher } from '../usage-publisher.ts'
import { epochSource } from './epoch-source.ts'
import { syncDirectory } from './gateway-identity.ts'
import type { EndedEpoch } from './replay.ts'

export interface PastEpochDeps {
  bus: Bus
  publisher: UsagePublisher
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
  const posted = (partition: number): number => findMark(seriesKey({ gatewayId, epoch, partition }))?.contiguous ?? 0

  async function run(): Promise<void> {
    try {
      publication.wake()
      await until(() => publication.idle, stopping, 20)
      await publishEpochClosed(deps, { gatewayId, epoch, last })
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

/** Publishes the end of an epoch until the stream has it. */
export async function publishEpochClosed(
  { bus, gatewayId: closedBy, log, stopping }: Pick<PastEpochDeps, 'bus' | 'gatewayId' | 'log' | 'stopping'>,
  closed: { gatewayId: string; epoch: number; last: readonly number[] },
): Promise<void> {
  const at = Date.now()
  const data = {
    gateway_id: closed.gatewayId,
    epoch: closed.epoch,
    last: [...closed.last],
    closed_by: closedBy,
    closed_at_ms: at,
  }
  const meta = { id: `${closed.gatewayId}.${closed.epoch}`, source: `/gateway/${closedBy}`, timeMs: at }
  for (let tries = 0; ; tries++) {
    stopping.throwIfAborted()
    try {
      await publishEvent(bus, GatewayEpochClosed, [], data, meta)
      return
    } catch (err) {
      log.warn({ err, epoch: closed.epoch, tries }, 'end of epoch not published, will be tried again')
      await delay(Math.min(100 * 2 ** tries, 5_000), undefined, { signal: stopping })
    }
  }
}

async function until(met: () => boolean, stopping: AbortSignal, intervalMs: number): Promise<void> {
  while (!met()) await delay(intervalMs, undefined, { signal: stopping })
  stopping.throwIfAborted()
}
