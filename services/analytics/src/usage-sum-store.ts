import type { ClickhousePool } from '@sluice/clickhouse'
import { type UsageFilter, usageConditions } from './usage-row-store.ts'

/** Lengths of time a report can be cut into. Weeks begin on Monday; all in UTC. */
export const intervals = ['hour', 'day', 'week', 'month'] as const
export type Interval = (typeof intervals)[number]

const bucketSql: Record<Interval, string> = {
  hour: 'toStartOfHour(admitted_at)',
  day: "toDateTime(toStartOfDay(admitted_at), 'UTC')",
  week: "toDateTime(toMonday(admitted_at), 'UTC')",
  month: "toDateTime(toStartOfMonth(admitted_at), 'UTC')",
}

/** Sums of one provider's model, in one interval where the report is cut. */
export interface UsageSum {
  provider: string
  model: string
  /** Start of the interval, Unix seconds; absent: the whole span. */
  start?: number
  quantities: Record<string, string>
  costs: Record<string, string>
}

/** Sums by provider and model. */
export interface UsageSumStore {
  /** At most `limit` groups, in order of time, provider and model. */
  sumByModel: (filter: UsageFilter, interval: Interval | undefined, limit: number) => Promise<UsageSum[]>
}

export function usageSumStore(queries: ClickhousePool): UsageSumStore {
  return {
    sumByModel: (filter, interval, limit) => {
      const { where, params } = usageConditions(filter)
      const bucket = interval ? `toUnixTimestamp(${bucketSql[interval]}) as start,` : ''
      return queries.query<UsageSum>(
        `select ${bucket} provider, model, sumMap(quantities) as quantities, sumMap(costs) as costs
        from usage_raw_v1 final where ${where.join(' and ')}
        group by ${interval ? 'start,' : ''} provider, model
        order by ${interval ? 'start,' : ''} provider, model limit {limit:UInt32}`,
        { ...params, limit },
      )
    },
  }
}
