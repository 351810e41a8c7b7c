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

/** Where somebody may read calls: in some projects all of them, in others their own. */
export interface CallReader {
  all: readonly string[]
  own: readonly string[]
  memberId: string | undefined
}

/** The parts of a call that somebody may read. */
export function restrictCall(call: Call, { all, own, memberId }: CallReader): Call {
  const mayRead = (row: { project_id: string; member_id: string }): boolean =>
    all.includes(row.project_id) ||
    (memberId !== undefined && row.member_id === memberId && own.includes(row.project_id))
  return { attempts: call.attempts.filter(mayRead), refusals: call.refusals.filter(mayRead) }
}

/** What a principal may read of calls. */
export function callReader(
  principal: RestPrincipal,
  projectsOfAccount: (accountId: string) => readonly string[],
): CallReader {
  const withPermission = (permission: string) =>
    [...principal.permissions].filter(([, held]) => held.has(permission)).map(([projectId]) => projectId)
  const ofAccount = principal.accountAdmin ? projectsOfAccount(principal.accountId) : []
  const isMember = principal.kind === 'member'
  return {
    all: [...new Set([...withPermission('usage:read'), ...ofAccount])],
    own: isMember ? withPermission('usage:read-own') : [],
    memberId: isMember ? principal.id : undefined,
  }
}
