import type { UsageRecordedData } from '@sluice/contracts'
import type { Transaction } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import { noteLateEvents } from './late-event-store.ts'
import { postUsage, sumByHour } from './ledger.ts'
import { addToHours, insertPostings } from './ledger-store.ts'
import { chargedProjects, settleBalances } from './prepaid-store.ts'
import type { RatingDifference } from './rate-usage.ts'

export type CheckRating = (event: UsageRecordedData) => RatingDifference | undefined

export interface PostedEvents {
  events: number
  /** Not posted: their settlement key was claimed before. */
  duplicates: number
  /** Of the events: those that were admitted more than 35 days ago. */
  late: number
  differences: RatingDifference[]
  /** Prepaid projects whose money has run out by it, or is there again: their events are in the outbox. */
  balances: number
}

/** Posts events that were never posted before, in the caller's transaction, against the log's batches they are in. */
export async function postEvents(
  trx: Transaction<Tables>,
  groups: readonly { batchId: string; reference: string; events: readonly UsageRecordedData[] }[],
  checkRating: CheckRating,
): Promise<PostedEvents> {
  const all = groups.flatMap(group => group.events)
  const repeated = await claimSettlementKeys(trx, all)
  const isFirst = (event: UsageRecordedData): boolean => !repeated.has(event)
  const differences = all.filter(isFirst).flatMap(event => checkRating(event) ?? [])
  await insertDifferences(trx, differences)
  const postings = groups.flatMap(({ batchId, reference, events }) =>
    postUsage(events.filter(isFirst)).map(posting => ({ ...posting, batchId, reference })),
  )
  await insertPostings(trx, postings)
  const balances = await settleBalances(trx, chargedProjects(postings))
  await addToHours(trx, sumByHour(all.filter(isFirst)))
  const late = await noteLateEvents(
    trx,
    groups.map(({ batchId, events }) => ({ batchId, events: events.filter(isFirst) })),
    Date.now(),
  )
  await insertDuplicates(
    trx,
    groups.flatMap(({ batchId, events }) =>
      events.filter(event => repeated.has(event)).map(event => ({ batchId, event })),
    ),
  )
  return { events: all.length - repeated.size, duplicates: repeated.size, late, differences, balances }
}

/** Claims the keys of what more than one gateway may settle. Returns the events whose key was claimed before. */
async function claimSettlementKeys(
  trx: Transaction<Tables>,
  events: readonly UsageRecordedData[],
): Promise<Set<UsageRecordedData>> {
  const keyed = events.filter(event => event.settlement_key !== undefined)
  if (keyed.length === 0) return new Set()
  const { rows } = await sql<{ event_id: string }>`insert into settlement_keys (project_id, settlement_key, event_id)
    select * from unnest(${keyed.map(event => event.identity.project_id)}::uuid[], ${keyed.map(event => event.settlement_key ?? '')}::text[], ${keyed.map(event => event.event_id)}::uuid[])
    on conflict do nothing returning event_id`.execute(trx)
  const claimed = new Set(rows.map(row => row.event_id))
  // The event id comes from the key: two gateways may have sent the very same one, and only one of them took the key.
  return new Set(keyed.filter(event => !claimed.delete(event.event_id)))
}

async function insertDuplicates(
  trx: Transaction<Tables>,
  duplicates: readonly { batchId: string; event: UsageRecordedData }[],
): Promise<void> {
  if (duplicates.length === 0) return
  await sql`insert into duplicate_settlements (batch_id, seq, event_id)
    select * from unnest(${duplicates.map(({ batchId }) => batchId)}::bigint[], ${duplicates.map(({ event }) => String(event.seq))}::bigint[], ${duplicates.map(({ event }) => event.event_id)}::uuid[])
    on conflict do nothing`.execute(trx)
}

async function insertDifferences(trx: Transaction<Tables>, differences: readonly RatingDifference[]): Promise<void> {
  for (const difference of differences)
    await trx
      .insertInto('rating_differences')
      .values({
        event_id: difference.eventId,
        project_id: difference.projectId,
        price_book_id: difference.priceBookId,
        override_price_book_id: difference.overridePriceBookId ?? null,
        reason: difference.reason,
        stamped_nano_usd: difference.stamped,
        recomputed_nano_usd: difference.recomputed ?? null,
      })
      .onConflict(conflict => conflict.doNothing())
      .execute()
}
