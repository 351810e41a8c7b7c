import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { ContractError, PARTITIONS, type Series, UsageRecorded } from '@sluice/contracts'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { PostedEvent } from './adjustment-store.ts'
import type { Tables } from './db/schema.ts'
import { findLine, type LogBatch, type LogPage, type LogQuery, timeOfEventId } from './usage-log.ts'

const decompress = promisify(zstdDecompress)

/** Lines of a batch whose content is in the archive alone. */
export type ReadArchived = (batch: Pick<LogBatch, 'batchId' | 'postedAtMs'>) => Promise<string>

/** Every series of an epoch that is closed. */
export interface ClosedEpoch {
  gatewayId: string
  epoch: number
  /** Last number of each partition. */
  last: number[]
}

export interface UsageLogStore {
  /** A page of batches, live and archived alike: at most `maxBatches`, and about `maxBytes` of text. */
  readPage(query: LogQuery, most: { maxBatches: number; maxBytes: number }): Promise<LogPage>
  /** Corrections behind a number, in their order, as they are published. */
  readAdjustments(after: bigint, limit: number): Promise<{ lines: string[]; next: string | undefined }>
  /** Closed epochs behind `gateway.epoch`, in order. */
  readClosedEpochs(after: string, limit: number): Promise<{ epochs: ClosedEpoch[]; next: string | undefined }>
  /** The number of the newest batch: how far a reader has to go. */
  findHead(): Promise<string>
  /** The lines of a series, in order. */
  readSeries(series: Series): AsyncIterable<string>
  /** An event with what posted it; `unposted`: it is in the log and counts nowhere. */
  findPosted(query: {
    projectId: string
    eventId: string
    /** Where its id has no time in it: search from here. */
    fromMs?: number
  }): Promise<PostedEvent | 'unposted' | undefined>
}

interface BatchRow {
  batch_id: string
  gateway_id: string
  epoch: string
  partition: number
  first: string
  last: string
  posted_at: Date
  content: Buffer | null
}

/** Batches looked through for one event before the search ends without it. */
const mostSearched = 20_000
/** An event is posted at most this long after its admission, and clocks differ by less than a minute. */
const searchSpanMs = 35 * 86_400_000
const clockMs = 60_000

export function usageLogStore(db: Kysely<Tables>, readArchived: ReadArchived): UsageLogStore {
  async function toBatch(row: BatchRow): Promise<LogBatch> {
    const postedAtMs = row.posted_at.getTime()
    const batchId = row.batch_id
    return {
      batchId,
      gatewayId: row.gateway_id,
      epoch: Number(row.epoch),
      partition: row.partition,
      first: Number(row.first),
      last: Number(row.last),
      postedAtMs,
      text: row.content ? (await decompress(row.content)).toString() : await readArchived({ batchId, postedAtMs }),
    }
  }

  return {
    async readPage(query, { maxBatches, maxBytes }) {
      const { range, firstDay, lastDay } = query
      const { rows } = await sql<BatchRow>`
        select batch_id, gateway_id, epoch, partition, first, last, posted_at, content
        from usage_batches join usage_series using (series_no)
        where batch_id > ${query.after}
          and ${firstDay === undefined ? sql`true` : sql`posted_at >= ${`${firstDay}T00:00:00Z`}::timestamptz`}
          and ${lastDay === undefined ? sql`true` : sql`posted_at < ${`${lastDay}T00:00:00Z`}::timestamptz + interval '24 hours'`}
          and ${
            range === undefined
              ? sql`true`
              : sql`gateway_id = ${range.gatewayId} and epoch = ${range.epoch} and partition = ${range.partition}
                and last >= ${range.first} and first <= ${range.last}`
          }
        order by batch_id limit ${maxBatches}`.execute(db)
      const batches: LogBatch[] = []
      let bytes = 0
      for (const row of rows) {
        const batch = await toBatch(row)
        bytes += batch.text.length
        if (batches.length > 0 && bytes > maxBytes) break
        batches.push(batch)
      }
      const isEnd = batches.length === rows.length && rows.length < maxBatches
      return { batches, next: isEnd ? undefined : batches.at(-1)?.batchId }
    },

    async readAdjustments(after, limit) {
      const rows = await db
        .selectFrom('adjustments')
        .select(['seq', 'payload'])
        .where('seq', '>', String(after))
        .orderBy('seq')
        .limit(limit)
        .execute()
      return { lines: rows.map(row => row.payload), next: rows.length < limit ? undefined : rows.at(-1)?.seq }
    },

    async readClosedEpochs(after, limit) {
      const [gatewayId = '', epoch = '0'] = after.split('.')
      const { rows } = await sql<{ gateway_id: string; epoch: string; last: string[] }>`
        select gateway_id, epoch, array_agg(closed_at_number::text order by partition) as last from series_marks
        where (gateway_id, epoch) > (${gatewayId}, ${epoch}::bigint)
        group by gateway_id, epoch having count(closed_at_number) = ${PARTITIONS}
        order by gateway_id, epoch limit ${limit}`.execute(db)
      const epochs = rows.map(row => ({
        gatewayId: row.gateway_id,
        epoch: Number(row.epoch),
        last: row.last.map(Number),
      }))
      const last = epochs.at(-1)
      return { epochs, next: rows.length < limit || !last ? undefined : `${last.gatewayId}.${last.epoch}` }
    },

    async findHead() {
      const { rows } = await sql<{ head: string | null }>`select max(batch_id) as head from usage_batches`.execute(db)
      return rows[0]?.head ?? '0'
    },

    async *readSeries(series) {
      let after = 0
      for (;;) {
        const { rows } = await sql<BatchRow>`
          select batch_id, gateway_id, epoch, partition, first, last, posted_at, content
          from usage_batches join usage_series using (series_no)
          where gateway_id = ${series.gatewayId} and epoch = ${series.epoch} and partition = ${series.partition}
            and first > ${after} order by first limit 1`.execute(db)
        const [row] = rows
        if (!row) return
        const batch = await toBatch(row)
        after = batch.first
        for (const line of batch.text.split('\n')) if (line !== '') yield line
      }
    },

    async findPosted({ projectId, eventId, fromMs }) {
      const admittedMs = timeOfEventId(eventId)
      const from = fromMs ?? (admittedMs === undefined ? 0 : admittedMs - clockMs)
      const until = admittedMs === undefined ? Number.MAX_SAFE_INTEGER : admittedMs + searchSpanMs
      let after = '0'
      for (let searched = 0; searched < mostSearched; ) {
        // The ledger knows in which batches a project has events: only those are opened.
        const { rows } = await sql<BatchRow & { transaction_id: string; reference: string }>`
          select t.transaction_id, t.reference, b.batch_id, gateway_id, epoch, partition, first, last, b.posted_at, content
          from ledger_transactions t join usage_batches b using (batch_id) join usage_series using (series_no)
          where t.project_id = ${projectId} and t.kind = 'usage' and t.transaction_id > ${after}
            and t.posted_at >= ${new Date(from).toISOString()}::timestamptz
          order by t.transaction_id limit 50`.execute(db)
        for (const row of rows) {
          after = row.transaction_id
          searched += 1
          if (row.posted_at.getTime() > until) return undefined
          const batch = await toBatch(row)
          for (const line of findLine(batch, eventId)) {
            if (await isUnposted(db, batch, line.seq)) return 'unposted'
            const event = readEvent(line.text)
            if (event?.identity.project_id === projectId)
              return { event, batchId: batch.batchId, transactionId: row.transaction_id }
          }
        }
        if (rows.length < 50) return undefined
      }
      return undefined
    },
  }
}

async function isUnposted(db: Kysely<Tables>, batch: LogBatch, seq: number): Promise<boolean> {
  const { rows } = await sql<{ unposted: boolean }>`select exists(
      select 1 from duplicate_settlements where batch_id = ${batch.batchId} and seq = ${seq}
      union all select 1 from dead_letters where gateway_id = ${batch.gatewayId} and epoch = ${batch.epoch}
        and partition = ${batch.partition} and first <= ${seq} and last >= ${seq}
      union all select 1 from discarded_letters where letter->>'gateway_id' = ${batch.gatewayId}
        and (letter->>'epoch')::bigint = ${batch.epoch} and (letter->>'partition')::int = ${batch.partition}
        and (letter->>'first')::bigint <= ${seq} and (letter->>'last')::bigint >= ${seq}) as unposted`.execute(db)
  return rows[0]?.unposted === true
}

function readEvent(text: string) {
  try {
    return UsageRecorded.decode(text)
  } catch (error) {
    if (error instanceof ContractError) return undefined
    throw error
  }
}
