import { createHash } from 'node:crypto'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type Series, type SeriesRange, seriesKey, type UsageRecordedData } from '@sluice/contracts'
import {
  type Kysely,
  listCompleteness,
  openMarks,
  type SeriesCompleteness,
  seriesOfEpoch,
  type Transaction,
  transact,
} from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import { postUsage } from './ledger.ts'
import { insertPostings } from './ledger-store.ts'
import type { RatingDifference } from './rate-usage.ts'
import type { ReceivedMessage } from './received-message.ts'
import type { UsageLine } from './usage-batch.ts'

/** What a committed batch of messages has changed. */
export interface PostedUsage {
  events: number
  duplicates: number
  deadLetters: DeadLetter[]
  differences: RatingDifference[]
  /** How far each changed series is posted now. */
  marks: SeriesPosition[]
}

export interface SeriesPosition {
  series: Series
  last: number
  contiguous: number
}

/** Received and not applied. */
export interface DeadLetter {
  range: SeriesRange | undefined
  reason: string
  content: Uint8Array
}

export interface UsageStore {
  /**
   * Posts what is new in these messages, in one transaction: the log, the ledger, dead letters, differences, marks and the
   * stream position commit together or not at all. Messages in any borders and any number of times post each event once.
   */
  post(
    messages: readonly ReceivedMessage[],
    options: { streamSeq: number; checkRating: (event: UsageRecordedData) => RatingDifference | undefined },
  ): Promise<PostedUsage>
  listMarks(): Promise<SeriesPosition[]>
  listCompleteness(): Promise<SeriesCompleteness[]>
  countDeadLetters(): Promise<number>
  readStreamPosition(): Promise<number>
  resetStreamPosition(streamSeq: number): Promise<void>
  /** The events of the log, in the order of their series, for rebuild and audit. */
  readLog(series: Series): AsyncIterable<string>
}

interface FreshRange {
  series: Series
  first: number
  last: number
  lines: UsageLine[]
}

export function usageStore(db: Kysely<Tables>): UsageStore {
  return {
    post: (messages, options) =>
      transact(db, async trx => {
        const marks = await openMarks(trx, messages.flatMap(seriesOf))
        const fresh: FreshRange[] = []
        const deadLetters: DeadLetter[] = []
        for (const message of messages) {
          if (message.kind === 'epoch-closed') marks.close(message.closed)
          else if (message.kind === 'unplaced')
            deadLetters.push({ range: undefined, reason: message.reason, content: message.content })
          else
            for (const { first, last } of marks.receive(message.range, message.range.first, message.range.last)) {
              if (message.kind === 'unreadable') {
                const range = { ...message.range, first, last }
                deadLetters.push({ range, reason: message.reason, content: message.content })
                continue
              }
              const from = first - message.range.first
              const lines = message.lines.slice(from, from + last - first + 1)
              fresh.push({ series: message.range, first, last, lines })
              for (const line of lines) {
                if (line.problem === undefined) continue
                const range = { ...message.range, first: line.seq, last: line.seq }
                deadLetters.push({ range, reason: line.problem, content: Buffer.from(line.text) })
              }
            }
        }
        const posted = await postFresh(trx, fresh, options.checkRating)
        await insertDeadLetters(trx, deadLetters)
        await sql`update stream_position set stream_seq = greatest(stream_seq, ${options.streamSeq})`.execute(trx)
        await marks.save()
        return { ...posted, deadLetters, marks: marks.changed() }
      }),

    async listMarks() {
      return (await listCompleteness(db)).map(({ gateway_id, epoch, partition, last, gaps }) => ({
        series: { gatewayId: gateway_id, epoch, partition },
        last,
        contiguous: gaps[0] ? gaps[0][0] - 1 : last,
      }))
    },
    listCompleteness: () => listCompleteness(db),
    async countDeadLetters() {
      const { rows } = await sql<{ count: number }>`select count(*)::int as count from dead_letters`.execute(db)
      return rows[0]?.count ?? 0
    },
    async readStreamPosition() {
      const { rows } = await sql<{ stream_seq: string }>`select stream_seq from stream_position`.execute(db)
      return Number(rows[0]?.stream_seq ?? 0)
    },
    async resetStreamPosition(streamSeq) {
      await sql`update stream_position set stream_seq = ${streamSeq}`.execute(db)
    },
    async *readLog(series) {
      let after = 0
      for (;;) {
        const row = await db
          .selectFrom('usage_batches')
          .innerJoin('usage_series', 'usage_series.series_no', 'usage_batches.series_no')
          .select(['first', 'content'])
          .where('gateway_id', '=', series.gatewayId)
          .where('epoch', '=', String(series.epoch))
          .where('partition', '=', series.partition)
          .where('first', '>', String(after))
          .orderBy('first')
          .limit(1)
          .executeTakeFirst()
        if (!row) return
        after = Number(row.first)
        for (const line of zstdDecompressSync(row.content).toString('utf8').split('\n')) if (line !== '') yield line
      }
    },
  }
}

function seriesOf(message: ReceivedMessage): Series[] {
  if (message.kind === 'epoch-closed') return seriesOfEpoch(message.closed)
  return message.kind === 'unplaced' ? [] : [message.range]
}

async function postFresh(
  trx: Transaction<Tables>,
  fresh: readonly FreshRange[],
  checkRating: (event: UsageRecordedData) => RatingDifference | undefined,
): Promise<{ events: number; duplicates: number; differences: RatingDifference[] }> {
  if (fresh.length === 0) return { events: 0, duplicates: 0, differences: [] }
  const batchIds = await insertBatches(trx, fresh)
  const all = fresh.flatMap(range => range.lines.flatMap(line => line.event ?? []))
  const repeated = await claimSettlementKeys(trx, all)
  const differences = all.flatMap(event => (repeated.has(event.event_id) ? [] : (checkRating(event) ?? [])))
  await insertDifferences(trx, differences)
  const postings = fresh.flatMap((range, index) =>
    postUsage(range.lines.flatMap(line => (line.event && !repeated.has(line.event.event_id) ? line.event : []))).map(
      posting => ({ ...posting, batchId: batchIds[index] ?? '' }),
    ),
  )
  await insertPostings(trx, postings)
  return { events: all.length - repeated.size, duplicates: repeated.size, differences }
}

/** Stores each range once; the exclusion constraint refuses what the marks should never have let through. */
async function insertBatches(trx: Transaction<Tables>, fresh: readonly FreshRange[]): Promise<string[]> {
  const series = new Map(fresh.map(range => [seriesKey(range.series), range.series]))
  const unique = [...series.values()]
  await sql`insert into usage_series (gateway_id, epoch, partition)
    select * from unnest(${unique.map(one => one.gatewayId)}::text[], ${unique.map(one => one.epoch)}::bigint[], ${unique.map(one => one.partition)}::int[])
    on conflict do nothing`.execute(trx)
  const { rows } = await sql<{ series_no: number; gateway_id: string; epoch: string; partition: number }>`
    select series_no, gateway_id, epoch, partition from usage_series
    where (gateway_id, epoch, partition) in (
      select * from unnest(${unique.map(one => one.gatewayId)}::text[], ${unique.map(one => one.epoch)}::bigint[], ${unique.map(one => one.partition)}::int[])
    )`.execute(trx)
  const numbers = new Map(rows.map(row => [`${row.gateway_id}.${row.epoch}.${row.partition}`, row.series_no]))
  const ids: string[] = []
  for (const range of fresh) {
    const content = zstdCompressSync(Buffer.from(range.lines.map(line => `${line.text}\n`).join('')))
    const inserted = await sql<{ batch_id: string }>`insert into usage_batches (series_no, first, last, content)
      values (${numbers.get(seriesKey(range.series))}, ${range.first}, ${range.last}, ${content}) returning batch_id`.execute(
      trx,
    )
    ids.push(inserted.rows[0]?.batch_id ?? '')
  }
  return ids
}

/** Claims the keys of what more than one gateway may settle. Returns the events whose key was claimed before. */
async function claimSettlementKeys(
  trx: Transaction<Tables>,
  events: readonly UsageRecordedData[],
): Promise<Set<string>> {
  const keyed = events.filter(event => event.settlement_key !== undefined)
  if (keyed.length === 0) return new Set()
  const { rows } = await sql<{ event_id: string }>`insert into settlement_keys (project_id, settlement_key, event_id)
    select * from unnest(${keyed.map(event => event.identity.project_id)}::uuid[], ${keyed.map(event => event.settlement_key ?? '')}::text[], ${keyed.map(event => event.event_id)}::uuid[])
    on conflict do nothing returning event_id`.execute(trx)
  const claimed = new Set(rows.map(row => row.event_id))
  return new Set(keyed.filter(event => !claimed.has(event.event_id)).map(event => event.event_id))
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

async function insertDeadLetters(trx: Transaction<Tables>, letters: readonly DeadLetter[]): Promise<void> {
  for (const { range, reason, content } of letters) {
    const fingerprint = createHash('sha256')
      .update(range ? `${seriesKey(range)}.${range.first}-${range.last}\n` : '\n')
      .update(content)
      .digest('hex')
    await trx
      .insertInto('dead_letters')
      .values({
        fingerprint,
        gateway_id: range?.gatewayId ?? null,
        epoch: range?.epoch ?? null,
        partition: range?.partition ?? null,
        first: range?.first ?? null,
        last: range?.last ?? null,
        reason,
        content: Buffer.from(content),
      })
      .onConflict(conflict => conflict.doNothing())
      .execute()
  }
}
