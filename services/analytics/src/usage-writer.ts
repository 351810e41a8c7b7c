import { createHash } from 'node:crypto'
import type { UsageRecordedData } from '@sluice/contracts'
import type { InsertLogStore, PendingAdjustment } from './insert-log-store.ts'
import type { RebuildLogStore } from './rebuild-log-store.ts'
import { hourOf, toAdjustedRow, toUsageRow, type UsageRow } from './usage-row.ts'
import type { UsageRowStore } from './usage-row-store.ts'
import type { FreshUsage, UsageRun } from './usage-run.ts'

/** What a write did. */
export interface WriteOutcome {
  rows: readonly UsageRow[]
  deadLetters: number
}

export interface UsageWriterDeps {
  log: InsertLogStore
  rows: UsageRowStore
}

/**
 * Writes one run: 1. intent, 2. insert, 3. marks. A crash after 1 or 2 leaves the intent, and the same run is formed and
 * inserted again: its token and its sorting key are those of the first time, so nothing is there twice.
 * @throws where a store is away: nothing of the run counts as received then
 */
export async function writeRun(deps: UsageWriterDeps, run: UsageRun): Promise<WriteOutcome> {
  const fresh = await deps.log.begin(run)
  const { rows, postponed, resolved } = await buildRows(deps, fresh)
  if (rows.length > 0) await deps.rows.insertUsage(rows, tokenOf(run, rows))
  const hours = new Map(
    rows.map(row => [`${row.project_id} ${hourOf(row)}`, { projectId: row.project_id, hourMs: hourOf(row) }]),
  )
  const { deadLetters } = await deps.log.finish(run, { dirtyHours: [...hours.values()], postponed, resolved })
  return { rows, deadLetters }
}

/**
 * Writes a page of the usage log again: insert, then marks. The token is that of one rebuild, since an insert of before must
 * not pass for one into a table that was lost. A row that is there is replaced by itself.
 */
export async function writeAgain(
  deps: { log: InsertLogStore; rows: UsageRowStore; again: RebuildLogStore },
  rebuildId: string,
  run: UsageRun,
): Promise<void> {
  const { rows, postponed, resolved } = await buildRows(deps, await deps.again.begin(run.messages))
  if (rows.length > 0) await deps.rows.insertUsage(rows, `${rebuildId}:${tokenOf(run, rows)}`)
  const dirtyHours = rows.map(row => ({ projectId: row.project_id, hourMs: hourOf(row) }))
  await deps.again.finish(run.messages, { dirtyHours, postponed, resolved })
}

/**
 * Applies an event that was a dead letter and can be read by now: past the marks, since its number counts as received. The
 * letter goes in the same transaction.
 */
export async function writeReplayed(deps: UsageWriterDeps, letterId: string, event: UsageRecordedData): Promise<void> {
  const recorded = (await deps.log.ownsSettlement(event)) ? [{ event, streamSeq: 0 }] : []
  const { rows, resolved } = await buildRows(deps, { recorded, adjusted: [] })
  if (rows.length > 0) await deps.rows.insertUsage(rows, `dead-letter:${letterId}:${event.event_id}`)
  const dirtyHours = rows.map(row => ({ projectId: row.project_id, hourMs: hourOf(row) }))
  await deps.log.finish(
    { first: 0, last: 0, messages: [] },
    { dirtyHours, postponed: [], resolved, replayedLetter: letterId },
  )
}

interface BuiltRows {
  rows: UsageRow[]
  postponed: PendingAdjustment[]
  resolved: PendingAdjustment[]
}

async function buildRows(deps: UsageWriterDeps, fresh: FreshUsage): Promise<BuiltRows> {
  const recorded = fresh.recorded.map(({ event, streamSeq }) => toUsageRow(event, streamSeq))
  const bases = new Map(recorded.map(row => [row.event_id, row]))
  const resolved = await deps.log.findPendingAdjustments([...bases.keys()])
  const missing = fresh.adjusted.filter(({ adjusted }) => !bases.has(adjusted.event_id))
  for (const row of await deps.rows.findLatest(missing.map(({ adjusted }) => adjusted))) bases.set(row.event_id, row)

  const rows = recorded
  const postponed: PendingAdjustment[] = []
  for (const pending of [...resolved, ...fresh.adjusted]) {
    const base = bases.get(pending.adjusted.event_id)
    if (base) rows.push(toAdjustedRow(base, pending.adjusted, pending.streamSeq))
    else postponed.push(pending)
  }
  return { rows, postponed, resolved }
}

/**
 * Names the range and what is in it: the same range of a stream that was made anew holds other rows, which must not pass
 * for those that are there.
 */
function tokenOf(run: UsageRun, rows: readonly UsageRow[]): string {
  const digest = createHash('sha256')
  for (const row of rows) digest.update(`${row.event_id} ${row.version} ${row.cost_nano_usd}\n`)
  return `USAGE:${run.first}-${run.last}:${digest.digest('hex').slice(0, 32)}`
}
