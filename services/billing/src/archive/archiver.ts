import { ContractError } from '@sluice/contracts'
import { linesOf } from '../usage-log.ts'
import type { UsageLogStore } from '../usage-log-store.ts'
import type { ArchiveDayStore } from './archive-day-store.ts'
import { ArchiveError } from './archive-error.ts'
import type { ArchiveStorage } from './archive-storage.ts'
import {
  type DayDocument,
  dayName,
  makeDayDocument,
  readDayDocument,
  type Segment,
  writeDayDocument,
} from './day-document.ts'
import { packSegment, segmentBytes, unpackSegment } from './segment-text.ts'
import { verifyDay } from './verify-archive.ts'

export interface ArchiverDeps {
  storage: ArchiveStorage
  days: ArchiveDayStore
  log: Pick<UsageLogStore, 'readPage'>
  nowMs: () => number
  /** Content of days this old is dropped from PostgreSQL; undefined: never. */
  dropAfterDays?: number
}

const dayMs = 86_400_000

/**
 * Brings every day that is over into the archive, oldest first, then drops what is old enough. Files first, the manifest
 * after its segments, PostgreSQL last: ended at any point, the next run finds the day not archived and makes the same
 * files again, or finds its manifest and takes it over.
 * @returns the days that were archived and dropped; undefined: another process is at it
 */
export function archiveClosedDays(deps: ArchiverDeps): Promise<{ archived: string[]; dropped: string[] } | undefined> {
  return deps.days.alone(async () => {
    const archived: string[] = []
    let previous = (await deps.days.list()).at(-1)?.document
    for (;;) {
      const day = await deps.days.findNextDay(deps.nowMs())
      if (day === undefined) break
      previous = await archiveDay(deps, day, previous)
      archived.push(day)
    }
    return { archived, dropped: await dropOld(deps) }
  })
}

async function archiveDay(deps: ArchiverDeps, day: string, previous: DayDocument | undefined): Promise<DayDocument> {
  const document = (await findWritten(deps, day, previous)) ?? (await writeDay(deps, day, previous))
  const problems = await verifyDay(deps, document)
  if (problems.length > 0) throw new ArchiveError(`day ${day} is not archived: ${problems.join('; ')}`)
  await deps.days.insert(document)
  return document
}

/** The manifest that a run wrote before it was ended: taken over where it is that of this very day of this log. */
async function findWritten(
  deps: ArchiverDeps,
  day: string,
  previous: DayDocument | undefined,
): Promise<DayDocument | undefined> {
  const content = await deps.storage.read(dayName(day))
  if (content === undefined) return undefined
  try {
    const document = readDayDocument(content.toString())
    const follows = document.previous?.hash === previous?.hash && document.number === (previous?.number ?? 0) + 1
    if (follows && document.day === day && (await isOfThisLog(deps, document))) return document
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
  }
  throw new ArchiveError(
    `the archive holds another manifest of day ${day}: it belongs to another installation, or was changed. It is not written over`,
  )
}

async function isOfThisLog(deps: ArchiverDeps, document: DayDocument): Promise<boolean> {
  let index = 0
  for await (const { kind, text } of readDay(deps, document.day)) {
    const segment = document.segments[index++]
    if (segment?.kind !== kind) return false
    if ((await unpackSegment(segment, await deps.storage.read(segment.name))) !== text) return false
  }
  return index === document.segments.length
}

async function writeDay(deps: ArchiverDeps, day: string, previous: DayDocument | undefined): Promise<DayDocument> {
  const segments: Segment[] = []
  for await (const { kind, text } of readDay(deps, day)) {
    const { segment, content } = await packSegment(kind, day, segments.length + 1, text)
    await deps.storage.write(segment.name, content)
    segments.push(segment)
  }
  const document = makeDayDocument({
    day,
    number: (previous?.number ?? 0) + 1,
    previous: previous ? { day: previous.day, hash: previous.hash } : null,
    segments,
    archived_at_ms: deps.nowMs(),
  })
  await deps.storage.write(dayName(day), Buffer.from(writeDayDocument(document)))
  return document
}

/** The texts of a day's segments, in order: the same each time, since nothing is added to a day that is over. */
async function* readDay(deps: ArchiverDeps, day: string): AsyncGenerator<{ kind: Segment['kind']; text: string }> {
  let lines: string[] = []
  let size = 0
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const page = await deps.log.readPage(
      { after: BigInt(after), firstDay: day, lastDay: day },
      { maxBatches: 64, maxBytes: segmentBytes },
    )
    for (const batch of page.batches) {
      if (size > 0 && size + batch.text.length > segmentBytes) {
        yield { kind: 'usage', text: textOf(lines) }
        lines = []
        size = 0
      }
      lines.push(...linesOf(batch))
      size += batch.text.length
    }
    after = page.next
  }
  if (lines.length > 0) yield { kind: 'usage', text: textOf(lines) }
  const adjustments = await deps.days.readAdjustments(day)
  if (adjustments.length > 0) yield { kind: 'adjustments', text: textOf(adjustments) }
}

function textOf(lines: readonly string[]): string {
  return lines.map(line => `${line}\n`).join('')
}

/** Drops days that are old enough, each only after all of it was read from the archive and found whole. */
async function dropOld(deps: ArchiverDeps): Promise<string[]> {
  const { dropAfterDays } = deps
  if (dropAfterDays === undefined) return []
  const dropped: string[] = []
  for (const { document, dropped: isDropped } of await deps.days.list()) {
    const { day } = document
    if (isDropped || Date.parse(`${day}T00:00:00Z`) + (dropAfterDays + 1) * dayMs > deps.nowMs()) continue
    const problems = await verifyDay(deps, document)
    if (problems.length > 0) throw new ArchiveError(`day ${day} is not dropped: ${problems.join('; ')}`)
    await deps.days.drop(day)
    dropped.push(day)
  }
  return dropped
}
