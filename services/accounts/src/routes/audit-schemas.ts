import { Id, Type } from '@sluice/contracts'
import { ContinuationToken, PageQuery } from '@sluice/runtime'
import type { Static } from 'typebox'
import type { AuditFilter } from '../audit-store.ts'
import { readInstant } from './read-instant.ts'

const NullableString = Type.Union([Type.String(), Type.Null()])

export const AuditQuery = Type.Object(
  {
    ...PageQuery,
    /** As `team.closed`. */
    action: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    /** A member, a key or a task of ours. */
    actor: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    target: Type.Optional(Id),
    /** RFC 3339. */
    since: Type.Optional(Type.String({ format: 'date-time' })),
    until: Type.Optional(Type.String({ format: 'date-time' })),
  },
  { additionalProperties: false },
)

export const AuditEntryResponse = Type.Object({
  number: Type.Integer(),
  at: Type.String(),
  account_id: Type.String(),
  project_id: NullableString,
  actor_kind: Type.String(),
  actor_id: Type.String(),
  from_address: NullableString,
  user_agent: NullableString,
  action: Type.String(),
  target: Type.String(),
  before: Type.Unknown(),
  after: Type.Unknown(),
  prev_hash: Type.String(),
  hash: Type.String(),
})
export const AuditPage = Type.Object({
  entries: Type.Array(AuditEntryResponse),
  continuation_token: ContinuationToken,
})

export function toAuditFilter(
  query: Static<typeof AuditQuery>,
  accountId: string,
  projectId: string | undefined,
): AuditFilter {
  const { action, actor, target, since, until } = query
  return {
    accountId,
    projectId,
    action,
    actorId: actor,
    target,
    since: since === undefined ? undefined : readInstant('since', since),
    until: until === undefined ? undefined : readInstant('until', until),
  }
}
