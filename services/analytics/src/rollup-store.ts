import type { ClickhouseClient } from '@sluice/clickhouse'
import { transact } from '@sluice/postgres'
import { type Kysely, sql } from 'kysely'
import type { AnalyticsTables } from './db/schema.ts'

/** An hour of a project whose raw rows have changed. */
export interface DirtyHour {
  projectId: string
  hourMs: number
}

export interface RollupStore {
  /**
   * Recomputes the hours that have waited longest, at most `limit`. An hour that changes meanwhile stays dirty. One run at
   * a time over all instances. @returns how many hours were recomputed
   */
  recomputeDirtyHours: (limit: number) => Promise<number>
  /** Hours of a project that wait to be recomputed; undefined: PostgreSQL is away, or too many wait to name them. */
  listDirtyHours: (projectId: string) => Promise<number[] | undefined>
}

const mostNamed = 1_000

export function rollupStore(db: Kysely<AnalyticsTables>, clickhouse: ClickhouseClient): RollupStore {
  return {
    listDirtyHours: async projectId => {
      try {
        const rows = await db
          .selectFrom('dirty_hours')
          .select('hour')
          .where('project_id', '=', projectId)
          .limit(mostNamed + 1)
          .execute()
        return rows.length > mostNamed ? undefined : rows.map(row => row.hour.getTime())
      } catch {
        return undefined
      }
    },

    recomputeDirtyHours: async limit => {
      // Asked all the time and mostly in vain: what follows is a transaction.
      const { rows: waiting } = await sql`select from dirty_hours limit 1`.execute(db)
      if (waiting.length === 0) return 0
      return transact(db, async trx => {
        const { rows: locks } = await sql<{
          ok: boolean
        }>`select pg_try_advisory_xact_lock(hashtext(current_schema() || ' rollup')) as ok`.execute(trx)
        if (!locks[0]?.ok) return 0
        const dirty = await trx
          .selectFrom('dirty_hours')
          .select(['project_id', 'hour', 'touched'])
          .orderBy('touched')
          .limit(limit)
          .execute()
        if (dirty.length === 0) return 0
        // The rows of a touched hour were inserted before it was touched, so what is read here holds them all.
        await recompute(
          clickhouse,
          dirty.map(row => ({ projectId: row.project_id, hourMs: row.hour.getTime() })),
        )
        await sql`delete from dirty_hours d using unnest(${dirty.map(row => row.project_id)}::uuid[],
          ${dirty.map(row => row.hour.toISOString())}::timestamptz[], ${dirty.map(row => row.touched)}::bigint[])
          as done(project_id, hour, touched)
          where d.project_id = done.project_id and d.hour = done.hour and d.touched = done.touched`.execute(trx)
        return dirty.length
      })
    },
  }
}

const hourSeconds = 3_600

// The version follows the highest of these hours, not a clock: a recomputation always wins over the one before it.
async function recompute(clickhouse: ClickhouseClient, hours: readonly DirtyHour[]): Promise<void> {
  const seconds = hours.map(hour => hour.hourMs / 1000)
  const among = (hour: string) => `(project_id, ${hour}) in (
      select pair.1, toDateTime(pair.2, 'UTC') from (select arrayJoin(arrayZip({projects:Array(UUID)}, {hours:Array(UInt32)})) as pair))`
  await clickhouse.command(
    `insert into usage_hourly_v2 (project_id, hour, team_id, member_id, room, key_id, app, provider, model, served_by,
      version, attempts, completed, input_tokens, output_tokens, quantities, costs, cost_nano_usd)
    select project_id, toStartOfHour(admitted_at) as hour, team_id, member_id, room, key_id, app, provider, model, served_by,
      (select max(version) + 1 from usage_hourly_v2 final where ${among('hour')}) as new_version,
      count(), countIf(status = 'completed'), sum(input_tokens), sum(output_tokens),
      sumMap(quantities), sumMap(costs), sum(cost_nano_usd)
    from usage_raw_v1 final
    where admitted_at >= toDateTime({first:UInt32}, 'UTC') and admitted_at < toDateTime({end:UInt32}, 'UTC')
      and ${among('toStartOfHour(admitted_at)')}
    group by project_id, hour, team_id, member_id, room, key_id, app, provider, model, served_by`,
    {
      projects: hours.map(hour => hour.projectId),
      hours: seconds,
      first: Math.min(...seconds),
      end: Math.max(...seconds) + hourSeconds,
    },
  )
}
