import { adjustmentSeries, UsageAdjusted, type UsageAdjustedData, type UsageRecordedData } from '@sluice/contracts'
import { enqueue, type Kysely, type Transaction, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { type CorrectedTotals, type Correction, type Totals, totalsOf } from './adjustment.ts'
import type { Tables } from './db/schema.ts'
import { hourOf, postDifference } from './ledger.ts'
import { addToHours, insertPostings } from './ledger-store.ts'
import { chargedProjects, settleBalances } from './prepaid-store.ts'

/** An event of the log with what posted it. */
export interface PostedEvent {
  event: UsageRecordedData
  batchId: string
  transactionId: string
}

/** A correction as operators see it. */
export interface AdjustmentRecord {
  seq: string
  event_id: string
  version: number
  project_id: string
  actor: string
  reason: string
  posted_at: Date
  adjusted: UsageAdjustedData
}

export type AdjustOutcome = { adjusted: UsageAdjustedData } | Extract<CorrectedTotals, { refused: string }>

export interface AdjustmentStore {
  /** The newest totals of an event. */
  findTotals(event: UsageRecordedData): Promise<Totals>
  /**
   * Posts a correction: new ledger rows that name the old transaction, the sums by hour, the log's own record and the
   * event for others, in one transaction. Nothing that was posted before changes.
   */
  adjust(
    posted: PostedEvent,
    correction: Correction,
    compute: (current: Totals) => CorrectedTotals,
    nowMs: number,
  ): Promise<AdjustOutcome>
  /** Newest first. */
  list(query: { projectId: string | undefined; before: bigint | undefined; limit: number }): Promise<AdjustmentRecord[]>
}

export function adjustmentStore(db: Kysely<Tables>): AdjustmentStore {
  return {
    findTotals: event => findTotals(db, event),

    adjust: (posted, correction, compute, nowMs) =>
      transact(db, async trx => {
        // One at a time: the numbers of the series have no gaps, and are given in the order in which they commit.
        await sql`select pg_advisory_xact_lock(hashtext(current_schema() || ' adjustments'))`.execute(trx)
        const { event, batchId, transactionId } = posted
        const current = await findTotals(trx, event)
        const corrected = compute(current)
        if ('refused' in corrected) return corrected
        const { totals } = corrected
        const difference = BigInt(totals.cost_nano_usd) - BigInt(current.cost_nano_usd)
        const adjusted: UsageAdjustedData = {
          seq: await nextNumber(trx),
          event_id: event.event_id,
          version: totals.version,
          project_id: event.identity.project_id,
          account_id: event.identity.account_id,
          admitted_at_ms: event.admitted_at_ms,
          adjusted_at_ms: nowMs,
          reason: correction.reason,
          ...(correction.quantities !== undefined && { measured: true }),
          price_book_id: totals.price_book_id,
          quantities: totals.quantities,
          line_items: totals.line_items,
          cost_nano_usd: totals.cost_nano_usd,
          difference_nano_usd: Number(difference),
        }
        const reference = `adjustment ${event.event_id} ${totals.version}`
        const posting = { ...postDifference(event, difference), batchId, reference, adjusts: transactionId }
        const [adjustmentId = ''] = await insertPostings(trx, [posting])
        await settleBalances(trx, chargedProjects([posting]))
        await addToHours(trx, [
          {
            projectId: adjusted.project_id,
            hourMs: hourOf(event.admitted_at_ms),
            events: 0,
            cost: difference,
            seatCost: event.paid_by === 'seat' ? difference : 0n,
          },
        ])
        const payload = UsageAdjusted.encode(adjusted)
        await trx
          .insertInto('adjustments')
          .values({
            seq: adjusted.seq,
            event_id: adjusted.event_id,
            version: adjusted.version,
            project_id: adjusted.project_id,
            transaction_id: adjustmentId,
            actor: correction.actor,
            reason: correction.reason,
            payload,
          })
          .execute()
        const key = `${adjustmentSeries.gatewayId}.${adjusted.seq}`
        await enqueue(trx, [{ kind: 'event', target: UsageAdjusted.type, key, payload }])
        return { adjusted }
      }),

    async list({ projectId, before, limit }) {
      let query = db.selectFrom('adjustments').selectAll().orderBy('seq', 'desc').limit(limit)
      if (projectId !== undefined) query = query.where('project_id', '=', projectId)
      if (before !== undefined) query = query.where('seq', '<', String(before))
      return (await query.execute()).map(({ payload, transaction_id: _, ...row }) => ({
        ...row,
        adjusted: UsageAdjusted.decode(payload),
      }))
    },
  }
}

async function findTotals(db: Kysely<Tables> | Transaction<Tables>, event: UsageRecordedData): Promise<Totals> {
  const row = await db
    .selectFrom('adjustments')
    .select('payload')
    .where('event_id', '=', event.event_id)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? UsageAdjusted.decode(row.payload) : totalsOf(event)
}

async function nextNumber(trx: Transaction<Tables>): Promise<number> {
  const { rows } = await sql<{ next: string }>`select coalesce(max(seq), 0) + 1 as next from adjustments`.execute(trx)
  return Number(rows[0]?.next ?? 1)
}
