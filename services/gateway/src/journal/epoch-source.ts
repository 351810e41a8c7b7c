import type { Logger } from '@sluice/runtime'
import type { UsageLine, UsageSource } from '../usage-publisher.ts'
import { closePrefix, placeOfLine } from './close-line.ts'
import { EpochReader, type Position } from './epoch-reader.ts'
import { recordType } from './record.ts'

export interface EpochSourceOptions {
  directory: string
  gatewayId: string
  epoch: number
  before: readonly number[]
  /** The oldest segment that is still there. */
  from: () => number
  /** How far may be read: everything before it is synced. */
  limit: () => Position
  /** Frames that are still in memory and begin at a place: they are not read from the files. */
  recent?: ((at: Position) => Buffer | undefined) | undefined
  log: Logger
}

/** The events of one epoch, read from its segments. */
export function epochSource(options: EpochSourceOptions): UsageSource & { close: () => Promise<void> } {
  const { directory, gatewayId, epoch, before, limit, log } = options
  const prefixBytes = Buffer.byteLength(closePrefix(gatewayId, epoch))
  const openReader = (recent?: EpochSourceOptions['recent']): EpochReader =>
    new EpochReader({
      directory,
      epoch,
      from: options.from(),
      limit,
      recent,
      only: recordType.close,
      onDamage: (at, skippedBytes) => log.error({ directory, epoch, at, skippedBytes }, 'journal damaged'),
    })
  const reader = openReader(options.recent)

  async function readLines(from: EpochReader): Promise<UsageLine[]> {
    const frames = await from.next()
    return frames.map(({ json }) => lineOf(json, prefixBytes))
  }

  return {
    gatewayId,
    epoch,
    before,
    next: () => readLines(reader),
    async *readAgain() {
      const again = openReader()
      try {
        for (let lines = await readLines(again); lines.length > 0; lines = await readLines(again)) yield lines
      } finally {
        await again.close()
      }
    },
    close: () => reader.close(),
  }
}

function lineOf(json: Buffer, prefixBytes: number): UsageLine {
  const { partition, seq } = placeOfLine(json, prefixBytes)
  return { partition, seq, json }
}
