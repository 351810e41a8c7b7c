import type { ClickhousePool } from '@sluice/clickhouse'
import { type UsageFilter, usageConditions } from './usage-row-store.ts'

/** Lengths of time a report can be cut into. Weeks begin on Monday; all in UTC. */
export const intervals = ['hour', 'day', 'week', 'month'] as const
export type Interval = (typeof intervals)[number]

const bucketSql: Record<Interval, string> = {
  hour: 'hour',
  day: "toDateTime(toStartOfDay(hour), 'UTC')",
  week: "toDateTime(toMonday(hour), 'UTC')",
  month: "toDateTime(toStartOfMonth(hour), 'UTC')",
}

const simulated = "toBool(served_by = 'simulator') as simulated"

/** Sums of one provider's model, or of the simulator's answers in its name, in one interval where the report is cut. */
export interface UsageSum {
  provider: string
  model: string
  /** Whether the simulator answered: nobody was paid for it. */
  simulated: boolean
  /** Start of the interval, Unix seconds; absent: the whole span. */
  start?: number
  quantities: Record<string, string>
  costs: Record<string, string>
}

/** What a report can be narrowed to. `model` is the model of the report, not what was asked for. */
export type SumFilter = Omit<UsageFilter, 'status'>

/** Sums by provider and model, what the simulator answered apart. */
export interface UsageSumStore {
  /** At most `limit` groups, in order of time, provider and model; the simulator's comes last. */
  sumByModel: (filter: SumFilter, interval: Interval | undefined, limit: number) => Promise<UsageSum[]>
}

export interface UsageSumSources {
  queries: ClickhousePool
  /** Hours of a project whose rollup is older than their rows; undefined: not known, or too many. */
  listDirtyHours: (projectId: string) => Promise<number[] | undefined>
}

/**
 * Reads whole hours from the rollup and dirty ones from the rows, so that a report is as new as the rows. What the rollup
 * cannot answer (parts of hours, tags, dirty hours unknown) is read from the rows alone: slower, never different.
 */
export function usageSumStore({ queries, listDirtyHours }: UsageSumSources): UsageSumStore {
  return {
    sumByModel: async (filter, interval, limit) => {
      const dirty = isAnsweredByHours(filter) ? await listDirtyHours(filter.projectId) : undefined
      const rows = `select toStartOfHour(admitted_at) as hour, provider, model, ${simulated}, quantities, costs
        from usage_raw_v1 final where ${conditions(filter, 'admitted_at')}`
      const hours = `select hour, provider, model, ${simulated}, quantities, costs
        from usage_hourly_v2 final where ${conditions(filter, 'hour')} and toUnixTimestamp(hour) not in {dirty:Array(UInt32)}`
      const dirtyRows = `${rows} and toUnixTimestamp(toStartOfHour(admitted_at)) in {dirty:Array(UInt32)}`
      const source = dirty === undefined ? rows : dirty.length === 0 ? hours : `${hours} union all ${dirtyRows}`
      return queries.query<UsageSum>(
        `select ${interval ? `toUnixTimestamp(${bucketSql[interval]}) as start,` : ''} provider, model, simulated,
          sumMap(quantities) as quantities, sumMap(costs) as costs
        from (${source}) as source
        group by ${interval ? 'start,' : ''} provider, model, simulated
        order by ${interval ? 'start,' : ''} provider, model, simulated limit {limit:UInt32}`,
        {
          ...usageConditions(filter).params,
          limit,
          ...(dirty === undefined ? {} : { dirty: dirty.map(ms => ms / 1000) }),
        },
      )
    },
  }
}

const hourMs = 3_600_000

function isAnsweredByHours(filter: SumFilter): boolean {
  const onHour = (ms: number | undefined) => ms === undefined || ms % hourMs === 0
  return onHour(filter.startMs) && onHour(filter.endMs) && Object.keys(filter.tags ?? {}).length === 0
}

/** The rollup has no requested model, so a report's model is the one it shows. */
function conditions(filter: SumFilter, time: 'admitted_at' | 'hour'): string {
  return usageConditions(filter, { time, models: ['model'] }).where.join(' and ')
}
