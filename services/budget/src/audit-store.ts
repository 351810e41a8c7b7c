import { AuditRecorded } from '@sluice/contracts'
import { enqueue, type Kysely, storableText, type Transaction } from '@sluice/postgres'
import { uuidv7 } from 'uuidv7'
import type { BudgetParent } from './budget.ts'
import type { BudgetTables } from './db/schema.ts'

/** Who changed a budget. */
export interface Actor {
  kind: 'member' | 'key' | 'service'
  id: string
  /** Where their request came from; absent: it is a task of ours. */
  from?: Origin
}

/** The client of a request, as the routes see it. */
export interface Origin {
  address: string
  userAgent: string | null
}

export type AuditAction =
  | 'created'
  | 'changed'
  | 'deleted'
  | 'raised'
  | 'raise-ended'
  | 'written-off'
  | 'unresolved-expired'
  | 'begun-anew'
  | 'destination-created'
  | 'destination-changed'
  | 'destination-deleted'
  | 'destination-tested'
  | 'secret-rotated'
  | 'alert-sent-again'
  | 'alert-given-up'

/** Each kind of change by its name in the account's trail. */
const namesInTrail: Record<AuditAction, string> = {
  created: 'budget.created',
  changed: 'budget.changed',
  deleted: 'budget.deleted',
  raised: 'budget.raised',
  'raise-ended': 'budget.raise-ended',
  'written-off': 'budget.hold-written-off',
  'unresolved-expired': 'budget.hold-expired',
  'begun-anew': 'budget.begun-anew',
  'destination-created': 'alert-destination.created',
  'destination-changed': 'alert-destination.changed',
  'destination-deleted': 'alert-destination.deleted',
  'destination-tested': 'alert-destination.tested',
  'secret-rotated': 'alert-destination.secret-rotated',
  'alert-sent-again': 'alert-destination.alert-sent-again',
  'alert-given-up': 'alert-destination.alert-given-up',
}

/** A change for the trail that accounts keeps of an account. */
export interface ToldChange {
  atMs: number
  actor: Actor
  accountId: string
  /** Undefined: it is of the account as a whole. */
  projectId: string | undefined
  action: string
  target: string
  before?: unknown
  after?: unknown
}

/** Has a change put into its account's audit trail: sent after the commit of its transaction. */
export async function tellTrail(trx: Transaction<BudgetTables>, change: ToldChange): Promise<void> {
  const { kind, id, from } = change.actor
  const entryId = uuidv7()
  const payload = AuditRecorded.encode({
    entry_id: entryId,
    at_ms: change.atMs,
    account_id: change.accountId,
    ...(change.projectId === undefined ? {} : { project_id: change.projectId }),
    actor_kind: kind === 'service' ? 'system' : kind,
    actor_id: id,
    ...(from === undefined ? {} : { from_address: from.address }),
    ...(from?.userAgent == null ? {} : { user_agent: from.userAgent }),
    action: change.action,
    target: change.target,
    ...(change.before === undefined ? {} : { before: change.before }),
    ...(change.after === undefined ? {} : { after: change.after }),
  })
  await enqueue(trx, [{ kind: 'event', target: AuditRecorded.type, key: entryId, payload }])
}

/** Writes down a change of a budget, or of a destination of alerts, here and for the account's trail, in its transaction. */
export async function insertAuditEntry(
  trx: Transaction<BudgetTables>,
  entry: {
    atMs: number
    actor: Actor
    accountId: string
    /** Undefined: the budget spans projects. */
    projectId: string | undefined
    budgetId?: string
    destinationId?: string
    action: AuditAction
    before: object | undefined
    /** The budget or destination; of raises and holds, what was done. */
    after: object | undefined
  },
): Promise<void> {
  await trx
    .insertInto('audit_entries')
    .values({
      at_ms: entry.atMs,
      actor_kind: entry.actor.kind,
      actor_id: entry.actor.id,
      project_id: entry.projectId ?? null,
      budget_id: entry.budgetId ?? null,
      destination_id: entry.destinationId ?? null,
      action: entry.action,
      before: entry.before ? JSON.stringify(entry.before) : null,
      after: entry.after ? JSON.stringify(entry.after) : null,
      from_address: entry.actor.from?.address ?? null,
      user_agent: entry.actor.from?.userAgent ?? null,
    })
    .execute()
  const { budgetId, destinationId, action, ...change } = entry
  const target = budgetId ?? destinationId ?? entry.accountId
  await tellTrail(trx, { ...change, target, action: namesInTrail[action] })
}

/** A change of a budget or a destination, as it was committed. */
export interface AuditEntry {
  id: string
  atMs: number
  actor: string
  fromAddress: string | null
  userAgent: string | null
  budgetId: string | null
  destinationId: string | null
  action: string
  before: unknown
  after: unknown
}

/** Changes of the budgets and destinations under a parent, deleted ones too, oldest first. */
export async function listAuditEntries(
  db: Kysely<BudgetTables>,
  { accountId, projectId }: BudgetParent,
  { budgetId, afterId, limit }: { budgetId: string | undefined; afterId: string | undefined; limit: number },
): Promise<AuditEntry[]> {
  // What PostgreSQL cannot hold it cannot be asked for either.
  if (budgetId !== undefined && budgetId !== storableText(budgetId)) return []
  let query = db
    .selectFrom('audit_entries as entry')
    .leftJoin('budgets', 'budgets.budget_id', 'entry.budget_id')
    .leftJoin('alert_destinations as destination', 'destination.destination_id', 'entry.destination_id')
    .selectAll('entry')
    .where(({ or, eb }) => or([eb('budgets.account_id', '=', accountId), eb('destination.account_id', '=', accountId)]))
    .orderBy('entry.id')
    .limit(limit)
  query =
    projectId === undefined
      ? query.where('budgets.project_id', 'is', null).where('destination.project_id', 'is', null)
      : query.where(({ or, eb }) =>
          or([eb('budgets.project_id', '=', projectId), eb('destination.project_id', '=', projectId)]),
        )
  if (budgetId !== undefined) query = query.where('entry.budget_id', '=', budgetId)
  if (afterId !== undefined) query = query.where('entry.id', '>', afterId)
  return (await query.execute()).map(row => ({
    id: row.id,
    atMs: Number(row.at_ms),
    actor: `${row.actor_kind} ${row.actor_id}`,
    fromAddress: row.from_address,
    userAgent: row.user_agent,
    budgetId: row.budget_id,
    destinationId: row.destination_id,
    action: row.action,
    before: row.before,
    after: row.after,
  }))
}
