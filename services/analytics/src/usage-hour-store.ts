import type { ReadUsageHours } from '@sluice/bus'
import type { ClickhousePool } from '@sluice/clickhouse'

interface HourRow {
  project_id: string
  hour_seconds: number
  events: string
  cost_nano_usd: string
}

/** What ClickHouse holds by hour of admission and project, for whoever holds it against the ledger. */
export interface UsageHourStore {
  /** From the rows of attempts, the newest version of each. */
  sumRows: ReadUsageHours
  sumRollups: ReadUsageHours
}

export function usageHourStore(queries: ClickhousePool): UsageHourStore {
  const read =
    (select: string, time: string): ReadUsageHours =>
    async ({ fromMs, toMs, after, limit }) => {
      const rows = await queries.query<HourRow>(
        `select toString(project_id) as project_id, toUnixTimestamp(hour_start) as hour_seconds, events, cost_nano_usd from (
          select project_id, ${select}
          where ${time} >= toDateTime({from:UInt32}, 'UTC') and ${time} < toDateTime({to:UInt32}, 'UTC')
          group by project_id, hour_start)
        where (hour_seconds, project_id) > ({after_seconds:UInt32}, {after_project:String})
        order by hour_seconds, project_id limit {limit:UInt32}`,
        {
          from: Math.floor(fromMs / 1000),
          to: Math.floor(toMs / 1000),
          after_seconds: after === undefined ? 0 : Math.floor(after.hourMs / 1000),
          after_project: after?.projectId ?? '',
          limit,
        },
      )
      return rows.map(row => ({
        project_id: row.project_id,
        hour_ms: row.hour_seconds * 1000,
        events: Number(row.events),
        cost_nano_usd: String(row.cost_nano_usd),
      }))
    }
  return {
    sumRows: read(
      'toStartOfHour(admitted_at) as hour_start, count() as events, sum(cost_nano_usd) as cost_nano_usd from usage_raw_v1 final',
      'admitted_at',
    ),
    sumRollups: read(
      'hour as hour_start, sum(attempts) as events, sum(cost_nano_usd) as cost_nano_usd from usage_hourly_v2 final',
      'hour',
    ),
  }
}
