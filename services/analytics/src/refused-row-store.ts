import type { ClickhouseClient, ClickhousePool } from '@sluice/clickhouse'
import type { RefusedRow } from './refused-row.ts'

/** Refused calls in ClickHouse. */
export interface RefusedRowStore {
  insertRefused: (rows: readonly RefusedRow[], token: string) => Promise<void>
  /** Refusals of a call in any of these projects. */
  findCallRefusals: (callId: string, projectIds: readonly string[]) => Promise<RefusedRow[]>
}

export function refusedRowStore(writer: ClickhouseClient, queries: ClickhousePool): RefusedRowStore {
  return {
    insertRefused: (rows, token) => writer.insert('refused_calls_v1', rows, token),
    findCallRefusals: (callId, projectIds) =>
      queries.query<RefusedRow>(
        `select * from refused_calls_v1 final
        where project_id in {projects:Array(UUID)} and call_id = {call:UUID}`,
        { projects: projectIds, call: callId },
      ),
  }
}
