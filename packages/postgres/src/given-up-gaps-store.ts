import { type Kysely, sql } from 'kysely'
import { storableText } from './data-error.ts'
import { transact } from './database.ts'
import type { Migration } from './migrate.ts'
import type { SeriesCompleteness } from './series-marks-store.ts'

/**
 * The record of numbers that never came and that a person has given up. A consumer's schema gets it by listing this step among
 * its migrations. The marks stay as they are: what comes all the same is applied.
 */
export const createGivenUpGaps: Migration = {
  name: '000-create-given-up-gaps',
  async up(db) {
    await sql`create table given_up_gaps (
      gap_id bigint generated always as identity primary key,
      gateway_id text not null,
      epoch bigint not null,
      partition int not null,
      first bigint not null,
      last bigint not null,
      given_up_by text not null,
      remote_address text not null,
      reason text not null,
      given_up_at timestamptz not null default now()
    )`.execute(db)
    await sql`comment on column given_up_gaps.given_up_by is 'As the operator said: the operator port asks for no credential'`.execute(
      db,
    )
  },
}

/** A line of the record. */
export interface GivenUpGap {
  gateway_id: string
  epoch: number
  partition: number
  first: number
  last: number
  given_up_by: string
  remote_address: string
  reason: string
  given_up_at: Date
}

/** What may come of giving up: the numbers; none are missing; or they may still be under way. */
export type GiveUpOutcome = { gaps: [partition: number, first: number, last: number][] } | 'unknown' | 'under-way'

/** What operators may ask of the gaps of a schema. */
export interface GapRecord {
  /** Gives up what is missing of an epoch that is closed, or of which nothing has come for an hour. */
  giveUp: (
    epoch: { gatewayId: string; epoch: number },
    given: { by: string; reason: string; remoteAddress: string },
  ) => Promise<GiveUpOutcome>
  /** The latest first. */
  listGivenUp: (limit: number) => Promise<GivenUpGap[]>
  countGivenUp: () => Promise<number>
  /** The series with those gaps alone that nobody has given up. */
  leaveOut: (series: readonly SeriesCompleteness[]) => Promise<SeriesCompleteness[]>
}

export function gapRecord<Tables>(db: Kysely<Tables>): GapRecord {
  return {
    giveUp: ({ gatewayId, epoch }, { by, reason, remoteAddress }) =>
      transact(db, async trx => {
        const { rows } = await sql<{ partition: number; gaps: [number, number][]; is_over: boolean }>`
          select partition, gaps, closed_at_number is not null or updated_at < now() - interval '1 hour' as is_over
          from series_marks where gateway_id = ${gatewayId} and epoch = ${epoch} order by partition for update`.execute(
          trx,
        )
        const given = await listOf(trx, gatewayId, epoch)
        const gaps = rows.flatMap(({ partition, gaps: missing }) =>
          subtract(missing, given.get(partition)).map(
            ([first, last]) => [partition, first, last] as [number, number, number],
          ),
        )
        if (gaps.length === 0) return 'unknown'
        if (!rows.every(row => row.is_over)) return 'under-way'
        await sql`insert into given_up_gaps (gateway_id, epoch, partition, first, last, given_up_by, remote_address, reason)
          select ${gatewayId}, ${epoch}, gap.partition, gap.first, gap.last,
            ${storableText(by)}, ${remoteAddress}, ${storableText(reason)}
          from unnest(${gaps.map(([partition]) => partition)}::int[], ${gaps.map(([, first]) => first)}::bigint[],
            ${gaps.map(([, , last]) => last)}::bigint[]) as gap (partition, first, last)`.execute(trx)
        return { gaps }
      }),
    async listGivenUp(limit) {
      const { rows } = await sql<GivenUpGap>`select gateway_id, epoch::float8 as epoch, partition,
        first::float8 as first, last::float8 as last, given_up_by, remote_address, reason, given_up_at
        from given_up_gaps order by gap_id desc limit ${limit}`.execute(db)
      return rows
    },
    async countGivenUp() {
      const { rows } = await sql<{ count: number }>`select count(*)::int as count from given_up_gaps`.execute(db)
      return rows[0]?.count ?? 0
    },
    leaveOut: series => leaveOutGivenUp(db, series),
  }
}

/** The series with those gaps alone that nobody has given up. */
export async function leaveOutGivenUp<Tables>(
  db: Kysely<Tables>,
  series: readonly SeriesCompleteness[],
): Promise<SeriesCompleteness[]> {
  const left: SeriesCompleteness[] = []
  const ofEpochs = new Map<string, Promise<Map<number, Range[]>>>()
  for (const one of series) {
    if (one.gaps.length === 0) {
      left.push(one)
      continue
    }
    const key = `${one.gateway_id}.${one.epoch}`
    const listed = ofEpochs.get(key) ?? listOf(db, one.gateway_id, one.epoch)
    ofEpochs.set(key, listed)
    left.push({ ...one, gaps: subtract(one.gaps, (await listed).get(one.partition)) })
  }
  return left
}

type Range = [first: number, last: number]

async function listOf<Tables>(db: Kysely<Tables>, gatewayId: string, epoch: number): Promise<Map<number, Range[]>> {
  const { rows } = await sql<{ partition: number; ranges: Range[] }>`
    select partition, jsonb_agg(jsonb_build_array(first, last)) as ranges from given_up_gaps
    where gateway_id = ${gatewayId} and epoch = ${epoch} group by partition`.execute(db)
  return new Map(rows.map(({ partition, ranges }) => [partition, ranges]))
}

/** What of some ranges is in none of the others. Pure. */
function subtract(ranges: readonly Range[], others: readonly Range[] = []): Range[] {
  let left = [...ranges]
  for (const [first, last] of others)
    left = left.flatMap(([from, to]): Range[] => {
      if (to < first || from > last) return [[from, to]]
      return [...(from < first ? [[from, first - 1] as Range] : []), ...(to > last ? [[last + 1, to] as Range] : [])]
    })
  return left
}
