import { type Kysely, type Transaction, transact } from '@sluice/postgres'
import type { BudgetParent } from './budget.ts'
import { lockParentForChange } from './budget-store.ts'
import type { BudgetTables } from './db/schema.ts'
import { tooManyChanges } from './errors.ts'

/** Changes of one parent that are under way or wait. */
const mostChanges = 200

interface Line {
  changes: number
  /** Ends with the last of them. */
  last: Promise<unknown>
}

const linesOf = new WeakMap<Kysely<BudgetTables>, Map<string, Line>>()

/**
 * Changes budgets of a parent, or what hangs on them, in a transaction that usage and other changes of them wait for. Changes of one
 * parent take turns before they take a connection: a thousand at once hold one, and leave the others to other tenants.
 * @throws AppError 429 where too many wait already
 */
export async function changeUnder<Result>(
  db: Kysely<BudgetTables>,
  parent: BudgetParent,
  work: (trx: Transaction<BudgetTables>) => Promise<Result>,
): Promise<Result> {
  const lines = linesOf.get(db) ?? new Map<string, Line>()
  linesOf.set(db, lines)
  const key = parent.projectId ?? parent.accountId
  const line = lines.get(key) ?? { changes: 0, last: Promise.resolve() }
  if (line.changes >= mostChanges) throw tooManyChanges()
  lines.set(key, line)
  line.changes++
  const before = line.last
  const changed = before.then(() =>
    transact(db, async trx => {
      await lockParentForChange(trx, parent)
      return work(trx)
    }),
  )
  line.last = changed.catch(() => undefined)
  try {
    return await changed
  } finally {
    line.changes--
    if (line.changes === 0) lines.delete(key)
  }
}
