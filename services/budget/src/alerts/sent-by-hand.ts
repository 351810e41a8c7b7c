import type { Transaction } from '@sluice/postgres'
import type { BudgetParent } from '../budget.ts'
import type { BudgetTables } from '../db/schema.ts'
import { tooManyByHand } from '../errors.ts'

/** Tests, and alerts sent again, of a project or account within an hour: each is a mail to people. */
const mostByHand = 60

/**
 * Keeps a project from sending strangers mails through this installation: the audit counts, so that a destination that is deleted and
 * made anew counts on. @throws AppError 409
 */
export async function requireFewByHand(
  trx: Transaction<BudgetTables>,
  { accountId, projectId }: BudgetParent,
  nowMs: number,
): Promise<void> {
  let query = trx
    .selectFrom('audit_entries as entry')
    .innerJoin('alert_destinations as destination', 'destination.destination_id', 'entry.destination_id')
    .select(({ fn }) => fn.countAll<string>().as('sent'))
    .where('destination.account_id', '=', accountId)
    .where('entry.action', 'in', ['destination-tested', 'alert-sent-again'])
    .where('entry.at_ms', '>', String(nowMs - 3_600_000))
  query =
    projectId === undefined
      ? query.where('destination.project_id', 'is', null)
      : query.where('destination.project_id', '=', projectId)
  const { sent } = await query.executeTakeFirstOrThrow()
  if (Number(sent) >= mostByHand) throw tooManyByHand(mostByHand)
}
