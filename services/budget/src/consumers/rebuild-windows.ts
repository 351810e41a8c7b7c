import { applyInHalves, type Bus, type RebuildMemory, type Rebuilds, startRebuilds } from '@sluice/bus'
import type { GatewayEpochClosedData, UsageAdjustedData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { isRefusedForGood } from '../dead-letter-store.ts'
import type { LoggedBatch } from '../rebuild-store.ts'

export interface RebuildDeps {
  memory: RebuildMemory
  countAgain: (batches: readonly LoggedBatch[]) => Promise<void>
  adjustAgain: (adjusted: readonly UsageAdjustedData[]) => Promise<void>
  closeEpochs: (closed: readonly GatewayEpochClosedData[]) => Promise<void>
  /** Makes every window what its facts say. */
  rebuildWindows: (signal: AbortSignal) => Promise<void>
  log: Logger
}

const nothing: LoggedBatch = {
  range: { gatewayId: '-', epoch: 1, partition: 0, first: 1, last: 1 },
  body: Buffer.alloc(0),
}

/**
 * Counts billing's usage log again, live and archived days alike, beside what comes from the stream: budgets go on counting
 * and cutting meanwhile. What is a fact already counts once.
 */
export function rebuildBudgets(bus: Bus, deps: RebuildDeps): Rebuilds {
  return startRebuilds(
    bus,
    deps.memory,
    {
      applyBatches: async batches => {
        const logged = batches.map(({ batch, lines }): LoggedBatch => {
          const { gateway_id: gatewayId, epoch, partition, first, last } = batch
          const body = Buffer.from(lines.map(line => `${line}\n`).join(''))
          return { range: { gatewayId, epoch, partition, first, last }, body }
        })
        await applyInHalves(logged, {
          apply: part => deps.countAgain(part.filter(batch => batch !== nothing)),
          isRefusal: isRefusedForGood,
          split: splitBatch,
          // A single event that the store refuses is a dead letter since it came from the stream.
          bury: () => nothing,
        })
      },
      applyAdjustments: deps.adjustAgain,
      closeEpochs: deps.closeEpochs,
      finish: deps.rebuildWindows,
    },
    { log: deps.log },
  )
}

function splitBatch({ range, body }: LoggedBatch): [LoggedBatch, LoggedBatch] | undefined {
  if (range.first === range.last) return undefined
  const lines = body.toString().split('\n')
  const middle = (range.last - range.first + 1) >> 1
  const half = (first: number, last: number): LoggedBatch => ({
    range: { ...range, first, last },
    body: Buffer.from(
      lines
        .slice(first - range.first, last - range.first + 1)
        .map(line => `${line}\n`)
        .join(''),
    ),
  })
  return [half(range.first, range.first + middle - 1), half(range.first + middle, range.last)]
}
