import { postingDay } from '../usage-log.ts'
import type { ReadArchived } from '../usage-log-store.ts'
import type { ArchiveDayStore } from './archive-day-store.ts'
import { ArchiveError } from './archive-error.ts'
import type { ArchiveStorage } from './archive-storage.ts'
import { readBatches, unpackSegment } from './segment-text.ts'

/** Segments kept open: whoever reads a day in order opens each of its segments once. */
const mostOpen = 2

/** Reads batches whose content was dropped, from the segment that has them. */
export function archiveReader(deps: {
  storage: ArchiveStorage | undefined
  days: Pick<ArchiveDayStore, 'find'>
}): ReadArchived {
  const open = new Map<string, Promise<Map<string, string>>>()

  return async ({ batchId, postedAtMs }) => {
    const { storage } = deps
    const day = postingDay(postedAtMs)
    if (!storage)
      throw new ArchiveError(`batch ${batchId} of day ${day} is in the archive alone, and SLUICE_ARCHIVE is not set`)
    const archived = await deps.days.find(day)
    for (const segment of archived?.document.segments ?? []) {
      if (segment.kind !== 'usage' || BigInt(segment.first) > BigInt(batchId) || BigInt(batchId) > BigInt(segment.last))
        continue
      let texts = open.get(segment.name)
      if (!texts) {
        texts = storage
          .read(segment.name)
          .then(content => unpackSegment(segment, content))
          .then(text => new Map(readBatches(text).map(({ batch, lines }) => [batch.batch, `${lines.join('\n')}\n`])))
        texts.catch(() => open.delete(segment.name))
        open.set(segment.name, texts)
        for (const name of open.keys()) if (open.size > mostOpen) open.delete(name)
      }
      const text = (await texts).get(batchId)
      if (text !== undefined) return text
    }
    throw new ArchiveError(`batch ${batchId} of day ${day} is neither in PostgreSQL nor in the archive`)
  }
}
