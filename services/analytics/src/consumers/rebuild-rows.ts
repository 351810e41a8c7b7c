import { setTimeout as delay } from 'node:timers/promises'
import { applyInHalves, type Bus, type RebuildMemory, type Rebuilds, startRebuilds } from '@sluice/bus'
import type { Logger } from '@sluice/runtime'
import { isRefusedByClickhouse, isRefusedForGood } from '../dead-letter-store.ts'
import { toAdjustedMessage, toClosedMessage, toUsageMessage } from '../rebuild.ts'
import type { RebuildLogStore } from '../rebuild-log-store.ts'
import { buryRun, splitRun } from '../refused-run.ts'
import type { UsageMessage } from '../usage-message.ts'
import { type UsageWriterDeps, writeAgain } from '../usage-writer.ts'

export interface RebuildDeps extends UsageWriterDeps {
  again: RebuildLogStore
  memory: RebuildMemory
  logger: Logger
}

const hoursPollMs = 200

/**
 * Fills ClickHouse again from billing's usage log, live and archived days alike, beside what comes from the stream: every row
 * is inserted, whatever the marks say. Ends when the rollups of every hour that was touched are recomputed.
 */
export function rebuildRows(bus: Bus, deps: RebuildDeps): Rebuilds {
  const write = async (rebuildId: string, messages: readonly UsageMessage[]) => {
    const [first] = messages
    const last = messages.at(-1)
    if (!first || !last) return
    await applyInHalves([{ first: first.streamSeq, last: last.streamSeq, messages }], {
      apply: async ([run]) => {
        if (run) await writeAgain(deps, rebuildId, run)
      },
      isRefusal: error => isRefusedForGood(error) || isRefusedByClickhouse(error),
      split: splitRun,
      bury: buryRun,
    })
  }
  return startRebuilds(
    bus,
    deps.memory,
    {
      applyBatches: (batches, rebuildId) => write(rebuildId, batches.map(toUsageMessage)),
      applyAdjustments: (adjusted, rebuildId) => write(`${rebuildId}:adjusted`, adjusted.map(toAdjustedMessage)),
      closeEpochs: closed =>
        deps.again.finish(closed.map(toClosedMessage), { dirtyHours: [], postponed: [], resolved: [] }),
      finish: async signal => {
        const touched = await deps.again.lastTouch()
        while ((await deps.again.countDirtyHours(touched)) > 0) await delay(hoursPollMs, undefined, { signal })
      },
    },
    { log: deps.logger },
  )
}
