import { ContractError } from '@sluice/contracts'
import type { ArchiveDayStore } from './archive-day-store.ts'
import { ArchiveError } from './archive-error.ts'
import type { ArchiveStorage } from './archive-storage.ts'
import { type DayDocument, dayName, readDayDocument } from './day-document.ts'
import { readEvents, summarise, unpackSegment } from './segment-text.ts'

interface Deps {
  storage: ArchiveStorage
  days: Pick<ArchiveDayStore, 'list' | 'sum'>
}

/** What a look through the whole archive found. */
export interface ArchiveReport {
  intact: boolean
  days: number
  segments: number
  events: number
  cost_nano_usd: string
  /** Each names the day or the segment, and what is wrong with it. */
  problems: string[]
}

/**
 * Reads the whole archive: every manifest against the chain and against what PostgreSQL noted of it, every segment against
 * its hash, its counts and its sum, every day against the ledger. `onDay` hears of each day as it is done.
 */
export async function verifyArchive(deps: Deps, onDay: (day: string) => void = () => {}): Promise<ArchiveReport> {
  const known = (await deps.days.list()).map(({ document }) => document)
  const problems: string[] = []
  let previous: DayDocument | undefined
  for (const noted of known) {
    problems.push(...(await verifyManifest(deps.storage, noted, previous)), ...(await verifyDay(deps, noted)))
    previous = noted
    onDay(noted.day)
  }
  const names = new Set(known.map(({ day }) => dayName(day)))
  for (const name of await deps.storage.list('days/'))
    if (!names.has(name)) problems.push(`${name}: the archive holds a day that this installation has not archived`)
  const sum = (of: (document: DayDocument) => number) => known.reduce((total, document) => total + of(document), 0)
  return {
    intact: problems.length === 0,
    days: known.length,
    segments: sum(document => document.segments.length),
    events: sum(document => document.events),
    cost_nano_usd: known.reduce((total, { cost_nano_usd }) => total + BigInt(cost_nano_usd), 0n).toString(),
    problems,
  }
}

async function verifyManifest(
  storage: ArchiveStorage,
  noted: DayDocument,
  previous: DayDocument | undefined,
): Promise<string[]> {
  const { day } = noted
  const content = await storage.read(dayName(day))
  if (content === undefined) return [`day ${day}: its manifest is missing`]
  let found: DayDocument
  try {
    found = readDayDocument(content.toString())
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    return [`day ${day}: its manifest was changed: ${error.message}`]
  }
  if (found.day !== day) return [`day ${day}: the manifest in its place is that of day ${found.day}`]
  const follows = found.previous?.hash === previous?.hash && found.previous?.day === previous?.day
  const problems: string[] = []
  if (!follows || found.number !== (previous?.number ?? 0) + 1)
    problems.push(`day ${day}: the chain is broken: it does not follow ${previous ? `day ${previous.day}` : 'nothing'}`)
  if (found.hash !== noted.hash) problems.push(`day ${day}: its manifest is another one than the one that was archived`)
  return problems
}

/** Holds the segments of a day against its manifest, and the day against the ledger. */
export async function verifyDay(deps: Deps, document: DayDocument): Promise<string[]> {
  const { day } = document
  const problems: string[] = []
  const ledger = await deps.days.sum(day)
  const unposted = new Set(ledger.unposted.map(({ batch, seq }) => `${batch}/${seq}`))
  let cost = 0n
  let posted = 0
  let unreadable = false
  for (const segment of document.segments) {
    try {
      const text = await unpackSegment(segment, await deps.storage.read(segment.name))
      const counted = summarise(segment.kind, text)
      const wrong = Object.entries(counted).find(([name, value]) => segment[name as keyof typeof counted] !== value)
      if (wrong) problems.push(`segment ${segment.name}: ${wrong[0]} is ${wrong[1]}, and not what its manifest says`)
      if (segment.kind === 'adjustments') continue
      for (const event of readEvents(text)) {
        if (event.cost === undefined || unposted.has(`${event.batch}/${event.seq}`)) continue
        posted += 1
        cost += event.cost
      }
    } catch (error) {
      if (!(error instanceof ArchiveError || error instanceof ContractError)) throw error
      unreadable = true
      problems.push(error instanceof ArchiveError ? error.message : `segment ${segment.name}: ${error.message}`)
    }
  }
  const compare = (what: string, archived: bigint | number, here: bigint | number) => {
    if (BigInt(archived) !== BigInt(here))
      problems.push(`day ${day}: ${what}: ${archived} archived, ${here} in the ledger`)
  }
  compare('batches', document.batches, ledger.batches)
  compare('numbers of events', document.events, ledger.events)
  compare('corrections', document.adjustments, ledger.adjustments)
  compare('corrections, nano-USD', BigInt(document.adjustments_nano_usd), ledger.adjustmentsNanoUsd)
  // What cannot be read has no sum: it is named already.
  if (!unreadable) {
    compare('posted events', posted, ledger.postedEvents)
    compare('posted cost, nano-USD', cost, ledger.costNanoUsd)
  }
  return problems
}
