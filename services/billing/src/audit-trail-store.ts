import { randomUUID } from 'node:crypto'
import { AuditRecorded } from '@sluice/contracts'
import { enqueue, type Transaction } from '@sluice/postgres'
import type { Tables } from './db/schema.ts'

/** Who changes something, and from where. */
export interface Author {
  kind: 'member' | 'key'
  id: string
  /** Whose trail it stands in. */
  accountId: string
  address: string
  userAgent: string | undefined
}

/** A change, as its account's audit trail says it. */
export interface TrailEntry {
  atMs: number
  author: Author
  projectId: string
  action: string
  target: string
  before: object | undefined
  after: object | undefined
}

/** Has a change put into its account's audit trail: it commits with the change, and is sent afterwards. */
export async function tellTrail(trx: Transaction<Tables>, entry: TrailEntry): Promise<void> {
  const { atMs, author, projectId, action, target, before, after } = entry
  const entryId = randomUUID()
  const payload = AuditRecorded.encode({
    entry_id: entryId,
    at_ms: atMs,
    account_id: author.accountId,
    project_id: projectId,
    actor_kind: author.kind,
    actor_id: author.id,
    from_address: author.address,
    ...(author.userAgent === undefined ? {} : { user_agent: author.userAgent.slice(0, 256) }),
    action,
    target,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  })
  await enqueue(trx, [{ kind: 'event', target: AuditRecorded.type, key: entryId, payload }])
}
