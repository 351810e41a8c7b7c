import { type ChainedEntry, type ChainHead, chainStart, followChain } from './audit-chain.ts'
import { findAuditHead, readAuditTrail } from './audit-store.ts'
import type { Db } from './db/schema.ts'

/** What came of following a trail to its end. */
export interface AuditVerdict {
  /** How many entries hold. */
  entries: number
  /** The first number that is missing, changed or out of place; null: none is. */
  first_broken: number | null
  /** The hash of the last entry that holds: who has noted it can tell whether the trail was written anew. */
  hash: string
}

const pageSize = 1_000

/** Reads a trail page by page. */
export async function* auditTrail(db: Db, accountId: string): AsyncGenerator<ChainedEntry[]> {
  let from = 1
  for (;;) {
    const entries = await readAuditTrail(db, accountId, from, pageSize)
    if (entries.length > 0) yield entries
    const last = entries.at(-1)
    if (!last || entries.length < pageSize) return
    from = last.number + 1
  }
}

/** Follows a trail; `end` is where it is known to end, so that its last entries cannot be taken away unseen. */
export async function verifyTrail(
  pages: AsyncIterable<readonly ChainedEntry[]>,
  end: ChainHead | undefined,
): Promise<AuditVerdict> {
  let head = chainStart
  for await (const entries of pages) {
    const followed = followChain(head, entries)
    head = followed.head
    if (followed.broken !== undefined) return { entries: head.number, first_broken: followed.broken, hash: head.hash }
  }
  const isWhole = end === undefined || (end.number === head.number && end.hash === head.hash)
  return { entries: head.number, first_broken: isWhole ? null : head.number + 1, hash: head.hash }
}

/** The end is read first: what is written meanwhile lies behind it, and is not asked for. */
export async function verifyAccount(db: Db, accountId: string): Promise<AuditVerdict> {
  const end = await findAuditHead(db, accountId)
  async function* upToEnd() {
    for await (const entries of auditTrail(db, accountId)) yield entries.filter(({ number }) => number <= end.number)
  }
  return verifyTrail(upToEnd(), end)
}
