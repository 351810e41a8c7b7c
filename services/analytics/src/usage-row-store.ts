import type { ClickhouseClient, ClickhousePool, QueryParams } from '@sluice/clickhouse'
import type { UsageAdjustedData } from '@sluice/contracts'
import type { UsageRow } from './usage-row.ts'

/** Which attempts of one project. Every condition that is named must hold. */
export interface UsageFilter {
  projectId: string
  startMs?: number
  /** Not included. */
  endMs?: number
  model?: string
  provider?: string
  status?: string
  keyId?: string
  teamId?: string
  memberIds?: readonly string[]
  room?: string
  app?: string
  doubt?: string
  tags?: Readonly<Record<string, string>>
}

/** Where a page begins: behind this attempt, newest first. */
export interface UsagePosition {
  admittedAtMs: number
  eventId: string
}

/** The rows of attempts in ClickHouse. */
export interface UsageRowStore {
  insertUsage: (rows: readonly UsageRow[], token: string) => Promise<void>
  /** The newest version of each event that is there. */
  findLatest: (
    events: readonly Pick<UsageAdjustedData, 'event_id' | 'project_id' | 'admitted_at_ms'>[],
  ) => Promise<UsageRow[]>
  /** Newest first, at most `limit`. */
  listUsage: (filter: UsageFilter, after: UsagePosition | undefined, limit: number) => Promise<UsageRow[]>
  /** Attempts of a call in any of these projects. */
  findCallAttempts: (callId: string, projectIds: readonly string[]) => Promise<UsageRow[]>
}

const table = 'usage_raw_v1'

export function usageRowStore(writer: ClickhouseClient, queries: ClickhousePool): UsageRowStore {
  return {
    insertUsage: (rows, token) => writer.insert(table, rows, token),

    findLatest: async events => {
      if (events.length === 0) return []
      const times = events.map(event => event.admitted_at_ms)
      return queries.query<UsageRow>(
        `select * from usage_raw_v1 final
        where project_id in {projects:Array(UUID)} and event_id in {events:Array(UUID)}
          and admitted_at >= fromUnixTimestamp64Milli({first:Int64}) and admitted_at <= fromUnixTimestamp64Milli({last:Int64})`,
        {
          projects: [...new Set(events.map(event => event.project_id))],
          events: events.map(event => event.event_id),
          first: Math.min(...times),
          last: Math.max(...times),
        },
      )
    },

    listUsage: (filter, after, limit) => {
      const { where, params } = usageConditions(filter)
      if (after) {
        where.push(
          `(admitted_at, toString(event_id)) < (fromUnixTimestamp64Milli({after_ms:Int64}), {after_event:String})`,
        )
        params.after_ms = after.admittedAtMs
        params.after_event = after.eventId
      }
      return queries.query<UsageRow>(
        `select * from usage_raw_v1 final where ${where.join(' and ')}
        order by admitted_at desc, toString(event_id) desc limit {limit:UInt32}`,
        { ...params, limit },
      )
    },

    findCallAttempts: (callId, projectIds) =>
      queries.query<UsageRow>(
        `select * from usage_raw_v1 final
        where project_id in {projects:Array(UUID)} and call_id = {call:UUID} order by attempt`,
        { projects: projectIds, call: callId },
      ),
  }
}

/** SQL conditions of a filter, the project first, with their values. A model is looked for in each of `columns.models`. */
export function usageConditions(
  filter: UsageFilter,
  columns: { time: string; models: readonly string[] } = { time: 'admitted_at', models: ['model', 'requested_model'] },
): { where: string[]; params: QueryParams } {
  const where = ['project_id = {project:UUID}']
  const params: QueryParams = { project: filter.projectId }
  const add = (value: QueryParams[string] | undefined, name: string, condition: string) => {
    if (value === undefined) return
    where.push(condition)
    params[name] = value
  }
  add(filter.startMs, 'start', `${columns.time} >= fromUnixTimestamp64Milli({start:Int64})`)
  add(filter.endMs, 'end', `${columns.time} < fromUnixTimestamp64Milli({end:Int64})`)
  add(filter.model, 'model', `(${columns.models.map(column => `${column} = {model:String}`).join(' or ')})`)
  add(filter.provider, 'provider', 'provider = {provider:String}')
  add(filter.status, 'status', 'status = {status:String}')
  add(filter.keyId, 'key', 'key_id = {key:String}')
  add(filter.teamId, 'team', 'team_id = {team:String}')
  add(filter.memberIds, 'members', 'member_id in {members:Array(String)}')
  add(filter.room, 'room', 'room = {room:String}')
  add(filter.app, 'app', 'app = {app:String}')
  add(filter.doubt, 'doubt', 'has(doubts, {doubt:String})')
  for (const [index, [name, value]] of Object.entries(filter.tags ?? {}).entries()) {
    where.push(`tags[{tag_${index}:String}] = {tag_value_${index}:String}`)
    params[`tag_${index}`] = name
    params[`tag_value_${index}`] = value
  }
  return { where, params }
}
