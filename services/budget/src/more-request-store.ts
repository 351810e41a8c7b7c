import { type Kysely, storableText, type Transaction, transact } from '@sluice/postgres'
import type { Selectable } from 'kysely'
import { type Actor, type Origin, tellTrail } from './audit-store.ts'
import type { BudgetParent } from './budget.ts'
import type { BudgetChange } from './budget-change-store.ts'
import type { Rest } from './budget-management-store.ts'
import { findBudget, lockParentsForUsage } from './budget-store.ts'
import { changeUnder } from './change-under-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { budgetNotFound, requestDecided, requestNotFound, requestOpen, tooManyRequests } from './errors.ts'
import { claimMaking, type MakingOnce } from './made-once-store.ts'
import { type Asker, copyAskedFor, type Decision, type MoreRequest } from './more-request.ts'
import { putRaise, type Raise } from './raise-store.ts'

/** Requests of one asker within {@link askedSpanMs}, and of all tokens of a key. */
const mostAsked = 10
const mostAskedByTokens = 100
const askedSpanMs = 60 * 60_000

/** What the routes ask of the store. */
export interface MoreRequestManagement {
  ask: (...args: Rest<Parameters<typeof askForMore>>) => Promise<MoreRequest>
  /** Those of one asker. */
  listOwn: (...args: Rest<Parameters<typeof listOwnRequests>>) => Promise<MoreRequest[]>
  /** @throws AppError 404 */
  findOwn: (...args: Rest<Parameters<typeof findOwnRequest>>) => Promise<MoreRequest>
  /** Those of budgets made under a parent. */
  list: (...args: Rest<Parameters<typeof listRequests>>) => Promise<MoreRequest[]>
  approve: (...args: Rest<Parameters<typeof approveRequest>>) => Promise<MoreRequest>
  decline: (...args: Rest<Parameters<typeof declineRequest>>) => Promise<MoreRequest>
}

/**
 * @param onRaised told right after the commit what an approval has changed
 * @param onDecided told then which request is decided
 */
export function manageMoreRequests(
  db: Kysely<BudgetTables>,
  { onRaised, onDecided }: { onRaised: (change: BudgetChange) => void; onDecided: (requestId: string) => void },
): MoreRequestManagement {
  return {
    ask: (...args) => askForMore(db, ...args),
    listOwn: (...args) => listOwnRequests(db, ...args),
    findOwn: (...args) => findOwnRequest(db, ...args),
    list: (...args) => listRequests(db, ...args),
    approve: async (...args) => {
      const { request, change } = await approveRequest(db, ...args)
      if (change) onRaised(change)
      onDecided(request.requestId)
      return request
    },
    decline: async (...args) => {
      const request = await declineRequest(db, ...args)
      onDecided(request.requestId)
      return request
    },
  }
}

/** What is asked for, before it is written. */
export interface MoreDraft {
  requestId: string
  budgetId: string
  /** Reads the amount in the budget's unit. @throws AppError 400 */
  readAmount: (unit: MoreRequest['unit']) => number
  reason: string
  atMs: number
}

/** Writes down that somebody asks for more. @throws AppError 404, 409 where they have asked already, 429 */
function askForMore(db: Kysely<BudgetTables>, asker: Asker, draft: MoreDraft, once?: MakingOnce): Promise<MoreRequest> {
  const { requestId, budgetId, reason, atMs } = draft
  const { accountId, projectId, by } = asker
  return transact(db, async trx => {
    // A budget that is there now is not deleted before this is written: its deletion finds it.
    await lockParentsForUsage([
      { accountId, projectId },
      { accountId, projectId: undefined },
    ]).execute(trx)
    const first = once && (await claimMaking(trx, once, requestId, atMs))
    if (first !== undefined && first !== requestId) return findOwnRequest(trx, asker, first)
    const budget =
      (await findBudget(trx, { accountId, projectId }, budgetId)) ??
      (await findBudget(trx, { accountId, projectId: undefined }, budgetId))
    const copy = budget && copyAskedFor(budget, asker)
    if (!budget || copy === undefined) throw budgetNotFound()
    const amount = draft.readAmount(budget.unit)
    const asked = await trx
      .selectFrom('more_requests')
      .select(['request_id', 'state', 'budget_id', 'participant'])
      .where('requester_kind', '=', by.kind)
      .where('requester_id', '=', by.id)
      .where(eb => eb.or([eb('created_at_ms', '>', String(atMs - askedSpanMs)), eb('state', '=', 'open')]))
      .limit(1_000)
      .execute()
    const own = asked.filter(row => row.participant === (asker.participant?.name ?? null))
    const open = own.find(row => row.state === 'open' && row.budget_id === budgetId)
    if (open) throw requestOpen(open.request_id)
    if (own.length >= mostAsked) throw tooManyRequests(mostAsked)
    // Whoever holds the key names as many participants as they like.
    const byTokens = asked.filter(row => row.participant !== null)
    if (asker.participant && byTokens.length >= mostAskedByTokens) throw tooManyRequests(mostAskedByTokens)
    const { numInsertedOrUpdatedRows: inserted } = await trx
      .insertInto('more_requests')
      .values({
        request_id: requestId,
        account_id: accountId,
        project_id: projectId,
        budget_id: budgetId,
        budget_project_id: budget.projectId ?? null,
        copy,
        requester_kind: by.kind,
        requester_id: by.id,
        requester_from: originOf(by),
        member_id: asker.memberId ?? null,
        key_name: asker.keyName ?? null,
        participant: asker.participant?.name ?? null,
        room: asker.participant?.room ?? null,
        amount,
        reason,
        created_at_ms: atMs,
        state: 'open',
      })
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirst()
    // The same asker was faster by another connection.
    if (inserted === 0n) throw requestOpen()
    const { name: participant } = asker.participant ?? {}
    const after = { budget_id: budgetId, copy, amount, reason, ...(participant !== undefined && { participant }) }
    const action = 'budget-request.made'
    await tellTrail(trx, { atMs, actor: by, accountId, projectId, action, target: requestId, after })
    return findOwnRequest(trx, asker, requestId)
  })
}

/** Requests that somebody has made, or a key of theirs, behind an id; ids sort by time. */
async function listOwnRequests(
  db: Kysely<BudgetTables>,
  asker: Asker,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<MoreRequest[]> {
  let query = ownRequests(db, asker).orderBy('more_requests.request_id').limit(limit)
  if (after !== undefined) query = query.where('more_requests.request_id', '>', after)
  return (await query.execute()).map(fromRow)
}

async function findOwnRequest(
  db: Kysely<BudgetTables> | Transaction<BudgetTables>,
  asker: Asker,
  requestId: string,
): Promise<MoreRequest> {
  if (requestId !== storableText(requestId)) throw requestNotFound()
  const row = await ownRequests(db, asker).where('more_requests.request_id', '=', requestId).executeTakeFirst()
  if (!row) throw requestNotFound()
  return fromRow(row)
}

function ownRequests(db: Kysely<BudgetTables> | Transaction<BudgetTables>, { projectId, by, participant }: Asker) {
  const ofProject = withBudgets(db).where('more_requests.project_id', '=', projectId)
  // A key sees what its tokens have asked for; a token does not see what its key has, or another token.
  return (participant ? ofProject.where('participant', '=', participant.name) : ofProject).where(eb => {
    const own = eb.and([eb('requester_kind', '=', by.kind), eb('requester_id', '=', by.id)])
    // A person sees what their keys have asked for; a key does not see what other keys have.
    return by.kind === 'member' ? eb.or([own, eb('member_id', '=', by.id)]) : own
  })
}

function withBudgets(db: Kysely<BudgetTables> | Transaction<BudgetTables>) {
  return db
    .selectFrom('more_requests')
    .innerJoin('budgets', 'budgets.budget_id', 'more_requests.budget_id')
    .selectAll('more_requests')
    .select(['budgets.name', 'budgets.unit'])
}

function requestsOf(db: Kysely<BudgetTables> | Transaction<BudgetTables>, { accountId, projectId }: BudgetParent) {
  const query = withBudgets(db).where('more_requests.account_id', '=', accountId)
  return projectId === undefined
    ? query.where('budget_project_id', 'is', null)
    : query.where('budget_project_id', '=', projectId)
}

async function listRequests(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  { after, limit, isOpen }: { after: string | undefined; limit: number; isOpen: boolean },
): Promise<MoreRequest[]> {
  let query = requestsOf(db, parent).orderBy('more_requests.request_id').limit(limit)
  if (isOpen) query = query.where('state', '=', 'open')
  if (after !== undefined) query = query.where('more_requests.request_id', '>', after)
  return (await query.execute()).map(fromRow)
}

/** Raises the budget as its owner says. The same decision again changes nothing. @throws AppError 404, 409 where it was another */
function approveRequest(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  requestId: string,
  decide: (request: MoreRequest) => { raise: Raise; word: string | undefined; check: Parameters<typeof putRaise>[3] },
): Promise<{ request: MoreRequest; change: BudgetChange | undefined }> {
  return changeUnder(db, parent, async trx => {
    const open = await lockRequest(trx, parent, requestId)
    const { raise, word, check } = decide(open)
    if (open.decided) {
      const { granted } = open.decided
      if (granted?.amount === BigInt(raise.amount) && granted.untilMs === raise.untilMs)
        return { request: open, change: undefined }
      throw requestDecided()
    }
    const change = await putRaise(trx, parent, { ...raise, requestId }, check)
    const granted = { raiseId: raise.raiseId, amount: BigInt(raise.amount), untilMs: raise.untilMs }
    const decided: Decision = { by: raise.by, atMs: raise.createdAtMs, word, granted }
    await writeDecision(trx, parent.accountId, open, decided)
    return { request: { ...open, decided }, change }
  })
}

/** @throws AppError 404, 409 where it was approved */
function declineRequest(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  requestId: string,
  { by, atMs, word }: Pick<Decision, 'by' | 'atMs' | 'word'>,
): Promise<MoreRequest> {
  return transact(db, async trx => {
    const open = await lockRequest(trx, parent, requestId)
    if (open.decided?.granted) throw requestDecided()
    if (open.decided) return open
    const decided: Decision = { by, atMs, word, granted: undefined }
    await writeDecision(trx, parent.accountId, open, decided)
    return { ...open, decided }
  })
}

async function lockRequest(
  trx: Transaction<BudgetTables>,
  parent: BudgetParent,
  requestId: string,
): Promise<MoreRequest> {
  if (requestId !== storableText(requestId)) throw requestNotFound()
  const row = await requestsOf(trx, parent)
    .where('more_requests.request_id', '=', requestId)
    .forUpdate('more_requests')
    .executeTakeFirst()
  if (!row) throw requestNotFound()
  return fromRow(row)
}

async function writeDecision(
  trx: Transaction<BudgetTables>,
  accountId: string,
  { requestId, projectId, budgetId, amount }: MoreRequest,
  { by, atMs, word, granted }: Decision,
): Promise<void> {
  await tellTrail(trx, {
    atMs,
    actor: by,
    accountId,
    projectId,
    action: granted ? 'budget-request.approved' : 'budget-request.declined',
    target: requestId,
    before: { budget_id: budgetId, amount: Number(amount) },
    after: {
      word: word ?? null,
      ...(granted && { raise_id: granted.raiseId, amount: Number(granted.amount), until_ms: granted.untilMs }),
    },
  })
  await trx
    .updateTable('more_requests')
    .set({
      state: granted ? 'approved' : 'declined',
      decider_kind: by.kind,
      decider_id: by.id,
      decider_from: originOf(by),
      decided_at_ms: atMs,
      word: word ?? null,
      raise_id: granted?.raiseId ?? null,
      granted: granted?.amount ?? null,
      until_ms: granted?.untilMs ?? null,
    })
    .where('request_id', '=', requestId)
    .execute()
}

export function fromRow(row: Selectable<BudgetTables['more_requests']> & { name: string; unit: string }): MoreRequest {
  return {
    requestId: row.request_id,
    projectId: row.project_id,
    budgetId: row.budget_id,
    budgetProjectId: row.budget_project_id ?? undefined,
    budgetName: row.name,
    unit: row.unit as MoreRequest['unit'],
    copy: row.copy,
    by: actorOf(row.requester_kind, row.requester_id, row.requester_from),
    memberId: row.member_id ?? undefined,
    keyName: row.key_name ?? undefined,
    participant: row.participant ?? undefined,
    room: row.room ?? undefined,
    amount: BigInt(row.amount),
    reason: row.reason,
    createdAtMs: Number(row.created_at_ms),
    decided: decisionOf(row),
  }
}

function decisionOf(row: Selectable<BudgetTables['more_requests']>): Decision | undefined {
  if (row.decider_kind === null || row.decider_id === null) return undefined
  return {
    by: actorOf(row.decider_kind, row.decider_id, row.decider_from),
    atMs: Number(row.decided_at_ms),
    word: row.word ?? undefined,
    granted:
      row.raise_id === null
        ? undefined
        : { raiseId: row.raise_id, amount: BigInt(row.granted ?? 0), untilMs: Number(row.until_ms) },
  }
}

function originOf({ from }: Actor): string | null {
  return from === undefined ? null : JSON.stringify(from)
}

function actorOf(kind: string, id: string, from: Origin | null): Actor {
  return { kind: kind === 'member' || kind === 'service' ? kind : 'key', id, ...(from !== null && { from }) }
}
