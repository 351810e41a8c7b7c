import { zstdCompressSync } from 'node:zlib'
import { type Series, seriesKey } from '@sluice/contracts'
import {
  type Kysely,
  listCompleteness,
  type MarkPosition,
  openMarks,
  prepared,
  type SeriesCompleteness,
  seriesOfEpoch,
  type Transaction,
  together,
  transact,
} from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import { type DeadLetter, insertDeadLetters } from './dead-letter-store.ts'
import { type CheckRating, type PostedEvents, postEvents } from './event-posting-store.ts'
import type { ReceivedMessage } from './received-message.ts'
import type { UsageLine } from './usage-batch.ts'

/** What a committed batch of messages has changed. */
export interface PostedUsage extends PostedEvents {
  deadLetters: DeadLetter[]
  /** How far each series of the batch is posted now, also where nothing of it was new: a mark may have been lost. */
  marks: MarkPosition[]
}

export interface UsageStore {
  /**
   * Posts what is new in these messages, in one transaction: the log, the ledger, dead letters, differences, marks and the
   * stream position commit together or not at all. Messages in any borders and any number of times post each event once.
   */
  post(
    messages: readonly ReceivedMessage[],
    options: { streamSeq: number; checkRating: CheckRating },
  ): Promise<PostedUsage>
  listMarks(): Promise<MarkPosition[]>
  listCompleteness(): Promise<SeriesCompleteness[]>
  readStreamPosition(): Promise<number>
  resetStreamPosition(streamSeq: number): Promise<void>
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
        await sql`${prepared}update stream_position set stream_seq = greatest(stream_seq, ${options.streamSeq})`.execute(
          trx,
        )
        await marks.save()
        return { ...posted, deadLetters, marks: marks.opened() }
      }),

    async listMarks() {
      return (await listCompleteness(db)).map(({ gateway_id, epoch, partition, last, gaps }) => ({
        series: { gatewayId: gateway_id, epoch, partition },
        last,
        contiguous: gaps[0] ? gaps[0][0] - 1 : last,
      }))
    },
    listCompleteness: () => listCompleteness(db),
    async readStreamPosition() {
      const { rows } = await sql<{ stream_seq: string }>`select stream_seq from stream_position`.execute(db)
      return Number(rows[0]?.stream_seq ?? 0)
    },
    async resetStreamPosition(streamSeq) {
      await sql`update stream_position set stream_seq = ${streamSeq}`.execute(db)
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
  checkRating: CheckRating,
): Promise<PostedEvents> {
  if (fresh.length === 0) return { events: 0, duplicates: 0, late: 0, differences: [], balances: 0 }
  const batchIds = await insertBatches(trx, fresh)
  const groups = fresh.map((range, index) => ({
    batchId: batchIds[index] ?? '',
    reference: '',
    events: range.lines.flatMap(line => line.event ?? []),
  }))
  return postEvents(trx, groups, checkRating)
}

/** Stores each range once; the exclusion constraint refuses what the marks should never have let through. */
async function insertBatches(trx: Transaction<Tables>, fresh: readonly FreshRange[]): Promise<string[]> {
  const numbers = await numberSeries(trx, fresh)
  const inserted = await together(
    trx,
    fresh.map(({ series, first, last, lines }) => {
      const content = zstdCompressSync(Buffer.from(lines.map(line => `${line.text}\n`).join('')))
      return sql<{ batch_id: string }>`${prepared}insert into usage_batches (series_no, first, last, content)
        values (${numbers.get(seriesKey(series))}, ${first}, ${last}, ${content}) returning batch_id`
    }),
  )
  return inserted.map(([row]) => row?.batch_id ?? '')
}

/**
 * The numbers of series; those that are new get the next. Only they ask for one: a number that is not used is gone, and there are
 * four million. Nobody else makes the same series meanwhile, since its mark is locked.
 */
async function numberSeries(trx: Transaction<Tables>, fresh: readonly FreshRange[]): Promise<Map<string, number>> {
  const series = new Map(fresh.map(range => [seriesKey(range.series), range.series]))
  const numbers = new Map<string, number>()
  const learn = (rows: readonly { series_no: number }[][], of: readonly string[]) => {
    for (const [at, key] of of.entries()) {
      const number = rows[at]?.[0]?.series_no
      if (number !== undefined) numbers.set(key, number)
    }
  }
  learn(await together(trx, [...series.values()].map(findSeries)), [...series.keys()])
  const missing = [...series].filter(([key]) => !numbers.has(key))
  learn(
    await together(
      trx,
      missing.map(([, one]) => insertSeries(one)),
    ),
    missing.map(([key]) => key),
  )
  return numbers
}

const findSeries = ({ gatewayId, epoch, partition }: Series) =>
  sql<{ series_no: number }>`${prepared}select series_no from usage_series
    where gateway_id = ${gatewayId} and epoch = ${epoch} and partition = ${partition}`

const insertSeries = ({ gatewayId, epoch, partition }: Series) =>
  sql<{ series_no: number }>`${prepared}insert into usage_series (gateway_id, epoch, partition)
    values (${gatewayId}, ${epoch}, ${partition}) returning series_no`
