import { type Kysely, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from '../db/schema.ts'
import { type DayDocument, readDayDocument, writeDayDocument } from './day-document.ts'

/** A day of the archive, as PostgreSQL knows it. */
export interface ArchivedDay {
  document: DayDocument
  /** Its batches have no content here any more. */
  dropped: boolean
}

/** What the ledger and the log say of one posting day. */
export interface DayOfLedger {
  batches: number
  events: number
  /** Of the events, those that count nowhere: `batch` and number. */
  unposted: { batch: string; seq: number }[]
  costNanoUsd: bigint
  postedEvents: number
  adjustments: number
  adjustmentsNanoUsd: bigint
}

export interface ArchiveDayStore {
  /**
   * Runs `work` while no other process does, on a connection that holds the right to it. Undefined: another one is at it.
   * Should the connection be lost, two may work at once: both write the same files, and one of them fails at its day.
   */
  alone<Result>(work: () => Promise<Result>): Promise<Result | undefined>
  /** In the order of the chain. */
  list(): Promise<ArchivedDay[]>
  find(day: string): Promise<ArchivedDay | undefined>
  /** The first day that is over at `nowMs`, has something of the log, and is not in the archive. */
  findNextDay(nowMs: number): Promise<string | undefined>
  insert(document: DayDocument): Promise<void>
  readAdjustments(day: string): Promise<string[]>
  sum(day: string): Promise<DayOfLedger>
  /** Drops the content of a day's batches; they are read from the archive from now on. */
  drop(day: string): Promise<void>
}

/** A transaction has the time of its beginning and takes a minute at most: after this nothing is added to a day. */
const graceMs = 10 * 60_000
const dropAtOnce = 5_000

export function archiveDayStore(db: Kysely<Tables>): ArchiveDayStore {
  const days = () =>
    db
      .selectFrom('archive_days')
      .select(['document', sql<boolean>`dropped_at is not null`.as('dropped')])
      .orderBy('number')
  return {
    alone: work =>
      db.connection().execute(async connection => {
        const lock = sql`hashtext(current_schema() || ' archive')`
        const { rows } = await sql<{ ok: boolean }>`select pg_try_advisory_lock(${lock}) as ok`.execute(connection)
        if (!rows[0]?.ok) return undefined
        try {
          return await work()
        } finally {
          await sql`select pg_advisory_unlock(${lock})`.execute(connection)
        }
      }),

    list: async () => (await days().execute()).map(fromRow),

    find: async day => {
      const row = await days().where(sql<boolean>`day = ${day}::date`).executeTakeFirst()
      return row && fromRow(row)
    },

    findNextDay: async nowMs => {
      const until = new Date(nowMs - graceMs).toISOString()
      const { rows } = await sql<{ day: string | null }>`
        with last as (select coalesce(max(day) + 1, '-infinity') as after from archive_days),
        first as (
          select min(posted_at) as at from usage_batches, last where posted_at >= (after::timestamp at time zone 'UTC')
          union all
          select min(posted_at) from adjustments, last where posted_at >= (after::timestamp at time zone 'UTC'))
        select to_char(min(at) at time zone 'UTC', 'YYYY-MM-DD') as day from first
        having (min(at) at time zone 'UTC')::date < (${until}::timestamptz at time zone 'UTC')::date`.execute(db)
      return rows[0]?.day ?? undefined
    },

    insert: async document => {
      await db
        .insertInto('archive_days')
        .values({
          day: document.day,
          number: document.number,
          hash: document.hash,
          document: writeDayDocument(document),
        })
        .execute()
    },

    readAdjustments: async day => {
      const { rows } = await sql<{ payload: string }>`
        select payload from adjustments where ${ofDay(day)} order by seq`.execute(db)
      return rows.map(row => row.payload)
    },

    sum: async day => {
      const { rows } = await sql<{
        batches: string
        events: string
        cost: string
        posted: string
        adjustments: string
        adjusted: string
      }>`
        with batches as (select batch_id, first, last from usage_batches where ${ofDay(day)}),
        posted as (select coalesce(sum(cost_nano_usd), 0) as cost, coalesce(sum(event_count), 0) as posted
          from ledger_transactions where kind = 'usage' and batch_id in (select batch_id from batches)),
        adjusted as (select count(*) as adjustments, coalesce(sum(t.cost_nano_usd), 0) as adjusted
          from adjustments a join ledger_transactions t using (transaction_id)
          where a.posted_at >= ${`${day}T00:00:00Z`}::timestamptz
            and a.posted_at < ${`${day}T00:00:00Z`}::timestamptz + interval '24 hours')
        select (select count(*) from batches) as batches,
          (select coalesce(sum(last - first + 1), 0) from batches) as events, * from posted, adjusted`.execute(db)
      const unposted = await sql<{ batch: string; seq: string }>`
        with batches as (select batch_id, series_no, first, last from usage_batches where ${ofDay(day)}),
        letters as (select gateway_id, epoch, partition, first, last from dead_letters
          union select letter->>'gateway_id', (letter->>'epoch')::bigint, (letter->>'partition')::int,
            (letter->>'first')::bigint, (letter->>'last')::bigint from discarded_letters)
        select batch_id::text as batch, seq::text from duplicate_settlements where batch_id in (select batch_id from batches)
        union
        select b.batch_id::text, generate_series(greatest(b.first, d.first), least(b.last, d.last))::text
        from letters d join usage_series s using (gateway_id, epoch, partition)
          join batches b on b.series_no = s.series_no and b.first <= d.last and b.last >= d.first`.execute(db)
      const [row] = rows
      return {
        batches: Number(row?.batches ?? 0),
        events: Number(row?.events ?? 0),
        unposted: unposted.rows.map(({ batch, seq }) => ({ batch, seq: Number(seq) })),
        costNanoUsd: BigInt(row?.cost ?? 0),
        postedEvents: Number(row?.posted ?? 0),
        adjustments: Number(row?.adjustments ?? 0),
        adjustmentsNanoUsd: BigInt(row?.adjusted ?? 0),
      }
    },

    drop: async day => {
      for (let dropped = dropAtOnce; dropped === dropAtOnce; ) {
        dropped = await transact(db, async trx => {
          const { numAffectedRows } = await sql`update usage_batches set content = null where batch_id in (
            select batch_id from usage_batches where ${ofDay(day)} and content is not null limit ${dropAtOnce})`.execute(
            trx,
          )
          return Number(numAffectedRows ?? 0n)
        })
      }
      await sql`update archive_days set dropped_at = now() where day = ${day}::date and dropped_at is null`.execute(db)
    },
  }
}

function ofDay(day: string) {
  const start = sql`${`${day}T00:00:00Z`}::timestamptz`
  return sql<boolean>`posted_at >= ${start} and posted_at < ${start} + interval '24 hours'`
}

function fromRow(row: { document: string; dropped: boolean }): ArchivedDay {
  return { document: readDayDocument(row.document), dropped: row.dropped }
}
