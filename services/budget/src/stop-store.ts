import { type BudgetScope, Stop } from '@sluice/contracts'
import { enqueue, type Kysely, type Transaction, transact } from '@sluice/postgres'
import type { Selectable } from 'kysely'
import { type Actor, type Origin, tellTrail } from './audit-store.ts'
import type { Rest } from './budget-management-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { stopNotFound, stoppedItself, tooManyStops } from './errors.ts'
import { claimMaking, type MakingOnce } from './made-once-store.ts'

/** Every call of a project is held against all of its stops. */
const mostStops = 200

/** A stop as it was put up, and perhaps lifted. Rows stay: they are the record of who has stopped what. */
export interface StopRecord {
  stop: Stop
  by: Actor
  lifted: { atMs: number; by: Actor } | undefined
}

export interface StopDraft {
  stopId: string
  accountId: string
  projectId: string
  scope: BudgetScope
  reason: string
  by: Actor
  atMs: number
}

/** What the routes ask of the store. */
export interface StopManagement {
  create: (...args: Rest<Parameters<typeof createStop>>) => Promise<StopRecord>
  lift: (...args: Rest<Parameters<typeof liftStop>>) => Promise<void>
  list: (...args: Rest<Parameters<typeof listStops>>) => Promise<StopRecord[]>
}

/** @param onChange told right after a commit: something is to be sent */
export function manageStops(db: Kysely<BudgetTables>, onChange: () => void): StopManagement {
  const told = async <T>(committing: Promise<T>): Promise<T> => {
    const made = await committing
    onChange()
    return made
  }
  return {
    create: (...args) => told(createStop(db, ...args)),
    lift: (...args) => told(liftStop(db, ...args)),
    list: (...args) => listStops(db, ...args),
  }
}

/** Stops calls: gateways are told by what is committed here. The same request again makes nothing. @throws AppError 409 */
export function createStop(db: Kysely<BudgetTables>, draft: StopDraft, once?: MakingOnce): Promise<StopRecord> {
  const { stopId, accountId, projectId, scope, reason, by, atMs } = draft
  return transact(db, async trx => {
    const first = once && (await claimMaking(trx, once, stopId, atMs))
    if (first !== undefined && first !== stopId) return await findStop(trx, projectId, first)
    const standing = await trx
      .selectFrom('stops')
      .select(({ fn }) => fn.countAll<string>().as('count'))
      .where('project_id', '=', projectId)
      .where('lifted_at_ms', 'is', null)
      .executeTakeFirstOrThrow()
    if (Number(standing.count) >= mostStops) throw tooManyStops(mostStops)
    const stop: Stop = { stop_id: stopId, account_id: accountId, scope, reason, at_ms: atMs }
    await trx
      .insertInto('stops')
      .values({
        stop_id: stopId,
        account_id: accountId,
        project_id: projectId,
        scope: JSON.stringify(scope),
        reason,
        actor_kind: by.kind,
        actor_id: by.id,
        actor_from: originOf(by),
        at_ms: atMs,
        lifted_at_ms: null,
        lifter_kind: null,
        lifter_id: null,
        lifter_from: null,
      })
      .execute()
    await enqueue(trx, [{ kind: 'kv-put', target: 'stops', key: stopId, payload: Stop.encode(stop) }])
    const after = { scope, reason }
    await tellTrail(trx, { atMs, actor: by, accountId, projectId, action: 'stop.created', target: stopId, after })
    return { stop, by, lifted: undefined }
  })
}

/** Lets calls go on. A stop that is lifted already stays as it is. @throws AppError 404; 403 where the key that asks is stopped by it */
export function liftStop(
  db: Kysely<BudgetTables>,
  projectId: string,
  stopId: string,
  by: Actor,
  atMs: number,
): Promise<void> {
  return transact(db, async trx => {
    const { stop } = await findStop(trx, projectId, stopId)
    // Whoever is stopped asks somebody else.
    if (by.kind === 'key' && stop.scope.key === by.id) throw stoppedItself()
    const { numUpdatedRows } = await trx
      .updateTable('stops')
      .set({ lifted_at_ms: atMs, lifter_kind: by.kind, lifter_id: by.id, lifter_from: originOf(by) })
      .where('project_id', '=', projectId)
      .where('stop_id', '=', stopId)
      .where('lifted_at_ms', 'is', null)
      .executeTakeFirst()
    // Lifted again it is deleted again: whatever has put it back.
    await enqueue(trx, [{ kind: 'kv-delete', target: 'stops', key: stopId, payload: '' }])
    if (numUpdatedRows === 0n) return
    await tellTrail(trx, {
      atMs,
      actor: by,
      accountId: stop.account_id,
      projectId,
      action: 'stop.lifted',
      target: stopId,
      before: { scope: stop.scope, reason: stop.reason },
    })
  })
}

/** Stops of a project behind an id, which sort by time. */
export async function listStops(
  db: Kysely<BudgetTables>,
  projectId: string,
  { after, limit, standing }: { after: string | undefined; limit: number; standing: boolean },
): Promise<StopRecord[]> {
  let query = db.selectFrom('stops').selectAll().where('project_id', '=', projectId).orderBy('stop_id').limit(limit)
  if (standing) query = query.where('lifted_at_ms', 'is', null)
  if (after !== undefined) query = query.where('stop_id', '>', after)
  return (await query.execute()).map(fromRow)
}

/** What gateways must see, of all projects. */
export async function listStandingStops(db: Kysely<BudgetTables>): Promise<ReadonlyMap<string, Stop>> {
  const rows = await db.selectFrom('stops').selectAll().where('lifted_at_ms', 'is', null).execute()
  return new Map(rows.map(row => [row.stop_id, fromRow(row).stop]))
}

/** Stops of a project that stood at some moment of a span. */
export async function listStopsBetween(
  db: Kysely<BudgetTables>,
  projectId: string,
  fromMs: number,
  toMs: number,
): Promise<Stop[]> {
  const rows = await db
    .selectFrom('stops')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('at_ms', '<=', String(toMs))
    .where(eb => eb.or([eb('lifted_at_ms', 'is', null), eb('lifted_at_ms', '>', String(fromMs))]))
    .orderBy('stop_id')
    .limit(1_000)
    .execute()
  return rows.map(row => fromRow(row).stop)
}

async function findStop(
  db: Kysely<BudgetTables> | Transaction<BudgetTables>,
  projectId: string,
  stopId: string,
): Promise<StopRecord> {
  const row = await db
    .selectFrom('stops')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('stop_id', '=', stopId)
    .executeTakeFirst()
  if (!row) throw stopNotFound()
  return fromRow(row)
}

function fromRow(row: Selectable<BudgetTables['stops']>): StopRecord {
  const { stop_id, account_id, scope, reason } = row
  return {
    stop: { stop_id, account_id, scope, reason, at_ms: Number(row.at_ms) },
    by: actorOf(row.actor_kind, row.actor_id, row.actor_from),
    lifted:
      row.lifted_at_ms === null
        ? undefined
        : {
            atMs: Number(row.lifted_at_ms),
            by: actorOf(row.lifter_kind ?? '', row.lifter_id ?? '', row.lifter_from),
          },
  }
}

function originOf({ from }: Actor): string | null {
  return from === undefined ? null : JSON.stringify(from)
}

function actorOf(kind: string, id: string, from: Origin | null): Actor {
  return { kind: kind === 'member' ? 'member' : 'key', id, ...(from !== null && { from }) }
}
