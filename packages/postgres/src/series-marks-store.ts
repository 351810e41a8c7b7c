import { type GatewayEpochClosedData, PARTITIONS, type Series, seriesKey } from '@sluice/contracts'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { Migration } from './migrate.ts'
import { prepared } from './prepared.ts'
import { contiguousTo, emptyMark, type NewRange, receiveRange, type SeriesMark } from './series-mark.ts'
import { type Statement, together } from './together.ts'

/**
 * The table behind exactly-once effects. A consumer's schema gets it by listing this step among its migrations. A mark is
 * changed in the same transaction as what its events change, so redelivery finds nothing new.
 */
export const createSeriesMarks: Migration = {
  name: '000-create-series-marks',
  async up(db) {
    await sql`create table series_marks (
      gateway_id text not null,
      epoch bigint not null,
      partition int not null,
      last bigint not null,
      gaps jsonb not null default '[]',
      closed_at_number bigint,
      updated_at timestamptz not null default now(),
      primary key (gateway_id, epoch, partition)
    )`.execute(db)
    await sql`comment on column series_marks.gaps is 'Ranges [first, last] below last that have not been received'`.execute(
      db,
    )
    await sql`comment on column series_marks.closed_at_number is 'Last number of the series, once its epoch is closed'`.execute(
      db,
    )
  },
}

interface MarkRow {
  gateway_id: string
  epoch: string
  partition: number
  last: string
  gaps: [number, number][]
  closed_at_number: string | null
}

/** Marks locked in one transaction, changed in memory, written back once. */
export interface MarkSession {
  /** The parts of a range that are new; the mark remembers them. */
  receive: (series: Series, first: number, last: number) => NewRange[]
  /** Notes the ends of an epoch's series. */
  close: (closed: GatewayEpochClosedData) => void
  /** Writes the changed marks. Call it last in the transaction. */
  save: () => Promise<void>
  /** What {@link save} does, as statements to be run last in the transaction. */
  saves: () => Statement<unknown>[]
  /** The changed marks, for whoever tells others how far this consumer is. */
  changed: () => MarkPosition[]
  /** Every mark that was opened, changed or not: a redelivery finds nothing new, and may still be what others wait to hear. */
  opened: () => MarkPosition[]
}

/** How far a series has been received. */
export interface MarkPosition {
  series: Series
  last: number
  /** Up to here without a gap. */
  contiguous: number
}

/**
 * Locks the marks of `series` (in key order, so that two consumers never wait for each other in a circle).
 * Unknown series begin empty.
 */
export async function openMarks<Tables>(trx: Transaction<Tables>, wanted: readonly Series[]): Promise<MarkSession> {
  const unique = [...new Map(wanted.map(series => [seriesKey(series), series]))].sort(([a], [b]) => (a < b ? -1 : 1))
  const found = await together(
    trx,
    unique.flatMap(([, series]) => [makeMark(series), lockMark(series)]),
  )
  const marks = new Map<string, { series: Series; mark: SeriesMark; closedAt: number | undefined; dirty: boolean }>()
  for (const [index, [key, series]] of unique.entries()) {
    const row = found[index * 2 + 1]?.[0]
    marks.set(key, {
      series,
      mark: row ? { last: Number(row.last), gaps: row.gaps } : emptyMark,
      closedAt: row?.closed_at_number == null ? undefined : Number(row.closed_at_number),
      dirty: false,
    })
  }

  const find = (series: Series) => {
    const entry = marks.get(seriesKey(series))
    if (!entry) throw new Error(`series ${seriesKey(series)} was not opened`)
    return entry
  }

  const saves = () =>
    [...marks.values()]
      .filter(({ dirty }) => dirty)
      .map(
        ({ series, mark, closedAt }) =>
          sql`${prepared}update series_marks set last = ${mark.last}, gaps = ${JSON.stringify(mark.gaps)}::jsonb,
            closed_at_number = ${closedAt ?? null}, updated_at = now() where ${isOf(series)}`,
      )

  return {
    receive(series, first, last) {
      const entry = find(series)
      const { fresh, mark } = receiveRange(entry.mark, first, last)
      if (fresh.length > 0) {
        entry.mark = mark
        entry.dirty = true
      }
      return fresh
    },
    close(closed) {
      for (const [partition, last] of closed.last.entries()) {
        const entry = find({ gatewayId: closed.gateway_id, epoch: closed.epoch, partition })
        entry.closedAt = last
        // What the epoch says it wrote and never came is a gap, not silence.
        if (last > entry.mark.last) entry.mark = { last, gaps: [...entry.mark.gaps, [entry.mark.last + 1, last]] }
        entry.dirty = true
      }
    },
    async save() {
      await together(trx, saves())
    },
    saves,
    changed: () => [...marks.values()].filter(entry => entry.dirty).map(positionOf),
    opened: () => [...marks.values()].map(positionOf),
  }
}

/** Makes the row of a new series, so that there is something to lock. */
function makeMark({ gatewayId, epoch, partition }: Series): Statement<MarkRow> {
  return sql<MarkRow>`${prepared}insert into series_marks (gateway_id, epoch, partition, last) values (${gatewayId}, ${epoch}, ${partition}, 0)
    on conflict do nothing`
}

function lockMark(series: Series): Statement<MarkRow> {
  return sql<MarkRow>`${prepared}select gateway_id, epoch, partition, last, gaps, closed_at_number from series_marks
    where ${isOf(series)} for update`
}

function isOf({ gatewayId, epoch, partition }: Series) {
  return sql`gateway_id = ${gatewayId} and epoch = ${epoch} and partition = ${partition}`
}

function positionOf({ series, mark }: { series: Series; mark: SeriesMark }): MarkPosition {
  return { series, last: mark.last, contiguous: contiguousTo(mark) }
}

/** The eight series of an epoch, for `openMarks` before `close`. */
export function seriesOfEpoch(closed: Pick<GatewayEpochClosedData, 'gateway_id' | 'epoch'>): Series[] {
  return Array.from({ length: PARTITIONS }, (_, partition) => ({
    gatewayId: closed.gateway_id,
    epoch: closed.epoch,
    partition,
  }))
}

/** One line of the completeness query. */
export interface SeriesCompleteness {
  gateway_id: string
  epoch: number
  partition: number
  last: number
  gaps: [number, number][]
  closed: boolean
  /** Closed and without gaps: nothing of it can be missing. */
  complete: boolean
}

/** Every series this consumer knows, with what is missing. */
export async function listCompleteness<Tables>(db: Kysely<Tables>): Promise<SeriesCompleteness[]> {
  const { rows } =
    await sql<MarkRow>`select gateway_id, epoch, partition, last, gaps, closed_at_number from series_marks
    order by gateway_id, epoch, partition`.execute(db)
  return rows.map(row => {
    const closed = row.closed_at_number !== null
    return {
      gateway_id: row.gateway_id,
      epoch: Number(row.epoch),
      partition: row.partition,
      last: Number(row.last),
      gaps: row.gaps,
      closed,
      complete: closed && row.gaps.length === 0 && Number(row.last) >= Number(row.closed_at_number),
    }
  })
}
