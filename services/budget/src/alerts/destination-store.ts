import { type Kysely, storableText, type Transaction, transact } from '@sluice/postgres'
import type { ExpressionBuilder, Selectable } from 'kysely'
import { type Actor, type AuditAction, insertAuditEntry } from '../audit-store.ts'
import type { BudgetParent } from '../budget.ts'
import { findBudget } from '../budget-store.ts'
import { changeUnder } from '../change-under-store.ts'
import type { BudgetTables } from '../db/schema.ts'
import { budgetNotFound, destinationNotFound, tooManyDestinations } from '../errors.ts'
import { claimMaking, type MakingOnce } from '../made-once-store.ts'
import type { AlertEvent } from './alert-event.ts'
import type { AlertDestination, AlertTarget, SealedSecret } from './destination.ts'
import { newAlertId, putDeliveries } from './fire-alerts-store.ts'
import { requireFewByHand } from './sent-by-hand.ts'

type Reader = Kysely<BudgetTables> | Transaction<BudgetTables>

/** Each alert goes to all of them. */
const mostDestinations = 50

/** Makes a destination. @throws AppError 404 where its budget is none of the parent's, 409 */
export function createDestination(
  db: Kysely<BudgetTables>,
  draft: AlertDestination,
  actor: Actor,
  once?: MakingOnce,
): Promise<AlertDestination> {
  const { parent, destinationId, createdAtMs } = draft
  // Many at once are no more than there may be.
  return changeUnder(db, parent, async trx => {
    const first = once && (await claimMaking(trx, once, destinationId, createdAtMs))
    if (first !== undefined && first !== destinationId) return await findDestination(trx, parent, first)
    if (draft.budgetId !== undefined && !(await findBudget(trx, parent, draft.budgetId))) throw budgetNotFound()
    if ((await listDestinations(trx, parent, { after: undefined, limit: mostDestinations })).length >= mostDestinations)
      throw tooManyDestinations(mostDestinations)
    await trx
      .insertInto('alert_destinations')
      .values({
        destination_id: destinationId,
        account_id: parent.accountId,
        project_id: parent.projectId ?? null,
        budget_id: draft.budgetId ?? null,
        kind: draft.target.kind,
        name: draft.name,
        ...columnsOf(draft.target),
        events: [...draft.events],
        enabled: draft.enabled,
        created_at_ms: createdAtMs,
        deleted_at_ms: null,
      })
      .execute()
    await audit(trx, { action: 'destination-created', actor, before: undefined, after: draft, nowMs: createdAtMs })
    return draft
  })
}

/**
 * Changes a destination in one step of reading and writing. One that is switched off has what waits for it cancelled.
 * @throws AppError 404
 */
export function changeDestination(
  db: Kysely<BudgetTables>,
  place: { parent: BudgetParent; destinationId: string },
  change: (before: AlertDestination) => AlertDestination,
  by: { actor: Actor; action: AuditAction; nowMs: number },
): Promise<AlertDestination> {
  return transact(db, async trx => {
    const before = await findDestination(trx, place.parent, place.destinationId, true)
    const after = change(before)
    await trx
      .updateTable('alert_destinations')
      .set({ name: after.name, ...columnsOf(after.target), events: [...after.events], enabled: after.enabled })
      .where('destination_id', '=', place.destinationId)
      .execute()
    if (!after.enabled) await cancelWaiting(trx, place.destinationId, by.nowMs)
    await audit(trx, { ...by, before, after })
    return after
  })
}

/** Nobody is told there any more; what waits is cancelled. @throws AppError 404 */
export function deleteDestination(
  db: Kysely<BudgetTables>,
  { parent, destinationId }: { parent: BudgetParent; destinationId: string },
  actor: Actor,
  nowMs: number,
): Promise<void> {
  return transact(db, async trx => {
    const before = await findDestination(trx, parent, destinationId, true)
    await trx
      .updateTable('alert_destinations')
      .set({ deleted_at_ms: nowMs, enabled: false, secrets: '[]' })
      .where('destination_id', '=', destinationId)
      .execute()
    await cancelWaiting(trx, destinationId, nowMs)
    await audit(trx, { action: 'destination-deleted', actor, before, after: undefined, nowMs })
  })
}

/** Puts a test into the queue, as any alert. @returns the id of the alert @throws AppError 404, 409 */
export function testDestination(
  db: Kysely<BudgetTables>,
  { parent, destinationId }: { parent: BudgetParent; destinationId: string },
  actor: Actor,
  nowMs: number,
): Promise<string> {
  return changeUnder(db, parent, async trx => {
    const destination = await findDestination(trx, parent, destinationId)
    await requireFewByHand(trx, parent, nowMs)
    const alertId = newAlertId()
    const document = {
      message: 'This is a test: alerts of budgets arrive here.',
      account_id: parent.accountId,
      project_id: parent.projectId ?? null,
    }
    await trx
      .insertInto('alerts')
      .values({
        alert_id: alertId,
        account_id: parent.accountId,
        project_id: parent.projectId ?? null,
        budget_id: null,
        kind: 'test',
        document: JSON.stringify(document),
        at_ms: nowMs,
      })
      .execute()
    await putDeliveries(trx, [{ alertId, destinationId }], nowMs)
    await audit(trx, { action: 'destination-tested', actor, before: undefined, after: destination, nowMs })
    return alertId
  })
}

/** Destinations of a parent behind an id, which sort by time. */
export async function listDestinations(
  db: Reader,
  parent: BudgetParent,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<AlertDestination[]> {
  if (after !== undefined && after !== storableText(after)) return []
  let query = db
    .selectFrom('alert_destinations')
    .selectAll()
    .where(({ eb }) => isUnder(eb, parent))
    .where('deleted_at_ms', 'is', null)
    .orderBy('destination_id')
    .limit(limit)
  if (after !== undefined) query = query.where('destination_id', '>', after)
  return (await query.execute()).map(fromRow)
}

/** @throws AppError 404 */
export async function findDestination(
  db: Reader,
  parent: BudgetParent,
  destinationId: string,
  toChange = false,
): Promise<AlertDestination> {
  // What PostgreSQL cannot hold it cannot be asked for either.
  if (destinationId !== storableText(destinationId)) throw destinationNotFound()
  const query = db
    .selectFrom('alert_destinations')
    .selectAll()
    .where('destination_id', '=', destinationId)
    .where(({ eb }) => isUnder(eb, parent))
    .where('deleted_at_ms', 'is', null)
  const row = await (toChange ? query.forUpdate() : query).executeTakeFirst()
  if (!row) throw destinationNotFound()
  return fromRow(row)
}

/** Whoever has asked for more is no destination that anybody has made, and none to be changed. */
function isUnder(eb: ExpressionBuilder<BudgetTables, 'alert_destinations'>, { accountId, projectId }: BudgetParent) {
  return eb.and([
    eb('kind', '<>', 'member'),
    ...(projectId === undefined
      ? [eb('account_id', '=', accountId), eb('project_id', 'is', null)]
      : [eb('project_id', '=', projectId)]),
  ])
}

async function cancelWaiting(trx: Transaction<BudgetTables>, destinationId: string, nowMs: number): Promise<void> {
  await trx
    .updateTable('alert_deliveries')
    .set({ state: 'cancelled', ended_at_ms: nowMs, claim: null })
    .where('destination_id', '=', destinationId)
    .where('state', '=', 'waiting')
    .execute()
}

function columnsOf(target: AlertTarget) {
  const none = { url: null, addresses: [] as string[], secrets: '[]' }
  switch (target.kind) {
    case 'webhook':
      return { ...none, url: target.url, secrets: JSON.stringify(target.secrets) }
    case 'email':
      return { ...none, addresses: [...target.addresses] }
    default:
      return none
  }
}

/** What the audit says of a destination: of an address that may itself be a secret, the host alone. */
function audited({ budgetId, name, target, events, enabled }: AlertDestination): object {
  return { budget_id: budgetId ?? null, name, kind: target.kind, ...auditedTarget(target), events, enabled }
}

function auditedTarget(target: AlertTarget): object {
  switch (target.kind) {
    case 'webhook':
      return { host: new URL(target.url).host, secrets: target.secrets.length }
    case 'email':
      return { addresses: target.addresses }
    default:
      return { member_id: target.memberId }
  }
}

function audit(
  trx: Transaction<BudgetTables>,
  entry: {
    action: AuditAction
    actor: Actor
    before: AlertDestination | undefined
    after: AlertDestination | undefined
    nowMs: number
  },
): Promise<void> {
  const { destinationId, parent } = (entry.after ?? entry.before) as AlertDestination
  return insertAuditEntry(trx, {
    atMs: entry.nowMs,
    actor: entry.actor,
    ...parent,
    destinationId,
    action: entry.action,
    before: entry.before && audited(entry.before),
    after: entry.after && audited(entry.after),
  })
}

export function fromRow(row: Selectable<BudgetTables['alert_destinations']>): AlertDestination {
  return {
    destinationId: row.destination_id,
    parent: { accountId: row.account_id, projectId: row.project_id ?? undefined },
    budgetId: row.budget_id ?? undefined,
    name: row.name,
    target: targetOf(row),
    events: row.events as AlertEvent[],
    enabled: row.enabled,
    createdAtMs: Number(row.created_at_ms),
  }
}

function targetOf(row: Selectable<BudgetTables['alert_destinations']>): AlertTarget {
  switch (row.kind) {
    case 'webhook':
      return { kind: 'webhook', url: row.url ?? '', secrets: row.secrets as SealedSecret[] }
    case 'email':
      return { kind: 'email', addresses: row.addresses }
    default:
      return { kind: 'member', memberId: row.member_id ?? '' }
  }
}
