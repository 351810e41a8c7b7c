import type { RestPrincipal } from '@sluice/runtime'
import type { CallRecord } from './recent-calls.ts'
import type { RefusedRow } from './refused-row.ts'
import type { UsageRow } from './usage-row.ts'

/** A call: every attempt, first try first, and its refusals. */
export interface Call {
  attempts: UsageRow[]
  refusals: RefusedRow[]
}

/** What memory and store know of a call, each attempt once in its newest version. */
export function mergeCall(
  recent: CallRecord | undefined,
  stored: { attempts: readonly UsageRow[]; refusals: readonly RefusedRow[] },
): Call {
  const attempts = new Map(stored.attempts.map(row => [row.event_id, row]))
  for (const row of recent?.attempts.values() ?? []) {
    const known = attempts.get(row.event_id)
    if (!known || known.version < row.version) attempts.set(row.event_id, row)
  }
  const refusals = new Map([...stored.refusals, ...(recent?.refusals ?? [])].map(row => [String(row.stream_seq), row]))
  return {
    attempts: [...attempts.values()].sort((a, b) => a.attempt - b.attempt),
    refusals: [...refusals.values()],
  }
}

/** The parts of a call that lie in these projects. */
export function restrictCall(call: Call, projectIds: readonly string[]): Call {
  const allowed = new Set(projectIds)
  return {
    attempts: call.attempts.filter(row => allowed.has(row.project_id)),
    refusals: call.refusals.filter(row => allowed.has(row.project_id)),
  }
}

/** The projects whose usage a principal may read. */
export function readableProjects(
  principal: RestPrincipal,
  projectsOfAccount: (accountId: string) => readonly string[],
): string[] {
  const byRole = [...principal.permissions].filter(([, held]) => held.has('usage:read')).map(([projectId]) => projectId)
  const byAccount = principal.accountAdmin ? projectsOfAccount(principal.accountId) : []
  return [...new Set([...byRole, ...byAccount])]
}
