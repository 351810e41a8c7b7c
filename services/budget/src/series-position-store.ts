import { seriesKey } from '@sluice/contracts'
import { type Kysely, listCompleteness, prepared, type Statement } from '@sluice/postgres'
import { sql } from 'kysely'
import type { BudgetTables } from './db/schema.ts'

/** Notes for each series the message up to which it had no gap. */
export function advancePositions(positions: ReadonlyMap<string, number>): Statement<unknown> {
  const ordered = [...positions].sort(([a], [b]) => (a < b ? -1 : 1))
  return sql`${prepared}insert into series_positions (series, stream_seq)
    select * from unnest(${ordered.map(([series]) => series)}::text[], ${ordered.map(([, seq]) => seq)}::bigint[])
    on conflict (series) do update set stream_seq = greatest(series_positions.stream_seq, excluded.stream_seq)`
}

/**
 * The message of the stream from which on something may be missing here: behind the last one seen, or, where a series has a
 * gap, behind the last one before that gap.
 */
export async function findPositionToReadFrom(db: Kysely<BudgetTables>): Promise<number> {
  const { rows } = await sql<{
    series: string
    stream_seq: string
  }>`select series, stream_seq from series_positions`.execute(db)
  const positions = new Map(rows.map(row => [row.series, Number(row.stream_seq)]))
  let from = Math.max(0, ...positions.values())
  for (const row of await listCompleteness(db)) {
    if (row.gaps.length === 0) continue
    const key = seriesKey({ gatewayId: row.gateway_id, epoch: row.epoch, partition: row.partition })
    from = Math.min(from, positions.get(key) ?? 0)
  }
  return from + 1
}
