import { enqueue, type OutboxEntry, type Transaction, transact } from '@sluice/postgres'
import { currentScope, type TenantScope, withinScope } from '@sluice/runtime'
import { appendAudit } from './audit-store.ts'
import type { Db, Tables } from './db/schema.ts'
import { Limits } from './limits.ts'

/** Who makes a change: `id` is a member id, a key id, or the name of our own task. */
export interface Actor {
  kind: 'member' | 'key' | 'operator' | 'system'
  id: string
  accountId: string
  /** Where the request came from; absent: it is a task of ours. */
  from?: Origin
}

/** The client of a request, as the routes see it. */
export interface Origin {
  address: string
  userAgent: string | null
}

/** One line of the audit trail. `before` and `after` are made for it: never a body as it came, never a secret. */
export interface AuditEntry {
  /** `<noun>.<verb in the past>`: `api-key.created`. */
  action: string
  target: string
  projectId?: string
  before?: unknown
  after?: unknown
}

/** A change under way. */
export interface Change {
  trx: Transaction<Tables>
  nowMs: number
  /** How many of everything there may be. */
  limits: Limits
  audit: (entry: AuditEntry) => Promise<void>
  announce: (entries: readonly OutboxEntry[]) => Promise<void>
}

/** Makes changes: rows, audit and announcements commit together or not at all. */
export interface Changes {
  make: <T>(actor: Actor, work: (change: Change) => Promise<T>) => Promise<T>
}

export interface ChangesDeps {
  db: Db
  now: () => number
  limits?: Limits
  /** Sends what the commit has announced. Absent: whoever relays the outbox does it later. */
  flush?: () => Promise<void>
  /** Told after each commit. */
  onCommitted?: (actor: Actor, entries: readonly AuditEntry[]) => void
  /** How long an answer waits for the announcement, so that gateways know before the caller does. */
  flushWaitMs?: number
}

export function createChanges(deps: ChangesDeps): Changes {
  const limits = deps.limits ?? new Limits()
  return {
    async make(actor, work) {
      const nowMs = deps.now()
      const entries: AuditEntry[] = []
      const scope = scopeOf(actor)
      const change = () =>
        transact(deps.db, async trx => {
          const done = await work({
            trx,
            nowMs,
            limits,
            audit: async entry => void entries.push(entry),
            announce: entries => enqueue(trx, entries),
          })
          // Last, since it locks the end of the account's trail.
          const said = entries.map(entry => auditOf(actor, entry, nowMs))
          await appendAudit(trx, actor.accountId, said)
          return done
        })
      const result = await (scope ? withinScope(scope, change) : change())
      deps.onCommitted?.(actor, entries)
      // While the bus is away the answer does not wait for it: the outbox keeps the announcement.
      if (deps.flush) await withinMs(deps.flush(), deps.flushWaitMs ?? 250)
      return result
    },
  }
}

/** Tasks of ours reach over all tenants. People's requests say themselves for whom they are; what says nothing is its actor's. */
function scopeOf(actor: Actor): TenantScope | undefined {
  if (actor.kind === 'system' || actor.kind === 'operator') return { system: true }
  return currentScope() ? undefined : { accountId: actor.accountId }
}

function auditOf(actor: Actor, entry: AuditEntry, nowMs: number) {
  return {
    at: new Date(nowMs).toISOString(),
    project_id: entry.projectId ?? null,
    actor_kind: actor.kind,
    actor_id: actor.id,
    from_address: actor.from?.address ?? null,
    user_agent: actor.from?.userAgent ?? null,
    action: entry.action,
    target: entry.target,
    before: entry.before ?? null,
    after: entry.after ?? null,
  }
}

function withinMs(work: Promise<void>, ms: number): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    void work.finally(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
