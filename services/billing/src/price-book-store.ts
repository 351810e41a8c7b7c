import type { PriceBookEntry } from '@sluice/contracts'
import { type Kysely, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { tellTrail } from './audit-trail-store.ts'
import type { Tables } from './db/schema.ts'
import type { PriceBookChange, PriceBookRecord, PriceBookStanding, StoredPriceBook } from './price-books.ts'

/** Price books in PostgreSQL: the record that everything published can be published from again. Books are never deleted. */
export interface PriceBookStore {
  insert(book: StoredPriceBook, standing?: PriceBookStanding): Promise<boolean>
  /** Gives a book that is known already another instant, and who said so. */
  setEffective(priceBookId: string, effectiveAtMs: number, standing: PriceBookStanding): Promise<void>
  find(priceBookId: string): Promise<StoredPriceBook | undefined>
  findRecord(priceBookId: string): Promise<PriceBookRecord | undefined>
  findCurrentCatalogue(nowMs: number): Promise<StoredPriceBook | undefined>
  /** A project's own book in force. */
  findCurrentOverride(projectId: string, nowMs: number): Promise<StoredPriceBook | undefined>
  /** Published ones, oldest instant first: of everyone, or of one project. */
  listRecords(projectId?: string): Promise<PriceBookRecord[]>
  listEntries(): Promise<PriceBookEntry[]>
  /** Takes back what has not come into force yet: of this project, or imported catalogues. @returns their ids */
  withdrawUpcoming(of: { projectId: string } | { origin: 'catalogue' }, nowMs: number): Promise<string[]>
  /** What is done in it commits together or not at all. */
  inTransaction<Result>(work: (store: PriceBookChanging) => Promise<Result>): Promise<Result>
}

/** The store within a transaction. */
export interface PriceBookChanging extends PriceBookStore {
  /** Has a change put into its account's audit trail: sent after the commit. */
  tellTrail(change: PriceBookChange): Promise<void>
}

export function priceBookStore(db: Kysely<Tables>): PriceBookStore {
  return {
    ...queriesOf(db),
    inTransaction: work =>
      transact(db, trx => work({ ...priceBookStore(trx), tellTrail: change => tellTrail(trx, change) })),
  }
}

function queriesOf(db: Kysely<Tables>): Omit<PriceBookStore, 'inTransaction'> {
  const columns = ['price_book_id', 'kind', 'project_id', 'effective_at', 'body'] as const
  const published = db.selectFrom('price_books').where('withdrawn_at', 'is', null)
  const records = published.select([
    'price_book_id',
    'kind',
    'project_id',
    'effective_at',
    'origin',
    'published_by',
    sql<number>`octet_length(body)`.as('size'),
  ])
  return {
    async insert({ entry, body }, standing = imported) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('price_books')
        .values({
          price_book_id: entry.price_book_id,
          kind: entry.kind,
          project_id: entry.project_id ?? null,
          effective_at: new Date(entry.effective_at_ms),
          body,
          origin: standing.origin,
          published_by: standing.publishedBy,
        })
        .onConflict(conflict => conflict.doNothing())
        .executeTakeFirst()
      return (numInsertedOrUpdatedRows ?? 0n) > 0n
    },
    async setEffective(priceBookId, effectiveAtMs, { origin, publishedBy }) {
      await db
        .updateTable('price_books')
        .set({ effective_at: new Date(effectiveAtMs), origin, published_by: publishedBy, withdrawn_at: null })
        .where('price_book_id', '=', priceBookId)
        .execute()
    },
    async find(priceBookId) {
      const row = await db
        .selectFrom('price_books')
        .select(columns)
        .where('price_book_id', '=', priceBookId)
        .executeTakeFirst()
      return row && fromRow(row)
    },
    async findRecord(priceBookId) {
      const row = await records.where('price_book_id', '=', priceBookId).executeTakeFirst()
      return row && toRecord(row)
    },
    async findCurrentCatalogue(nowMs) {
      const row = await published
        .select(columns)
        .where('kind', '=', 'catalogue')
        .where('effective_at', '<=', new Date(nowMs))
        .orderBy('effective_at', 'desc')
        .orderBy('price_book_id')
        .limit(1)
        .executeTakeFirst()
      return row && fromRow(row)
    },
    async findCurrentOverride(projectId, nowMs) {
      const row = await published
        .select(columns)
        .where('kind', '=', 'override')
        .where('project_id', '=', projectId)
        .where('effective_at', '<=', new Date(nowMs))
        .orderBy('effective_at', 'desc')
        .limit(1)
        .executeTakeFirst()
      return row && fromRow(row)
    },
    async listRecords(projectId) {
      const rows = await (projectId === undefined
        ? records.where('project_id', 'is', null)
        : records.where('project_id', '=', projectId)
      )
        .orderBy('effective_at')
        .execute()
      return rows.map(toRecord)
    },
    async listEntries() {
      const rows = await records.orderBy('effective_at').execute()
      return rows.map(row => toEntry(row, row.size))
    },
    async withdrawUpcoming(of, nowMs) {
      const rows = await db
        .updateTable('price_books')
        .set({ withdrawn_at: new Date(nowMs) })
        .where('withdrawn_at', 'is', null)
        .where('effective_at', '>', new Date(nowMs))
        .where(eb =>
          'projectId' in of
            ? eb('project_id', '=', of.projectId)
            : eb.and([eb('kind', '=', 'catalogue'), eb('origin', '=', of.origin)]),
        )
        .returning('price_book_id')
        .execute()
      return rows.map(row => row.price_book_id)
    },
  }
}

const imported: PriceBookStanding = { origin: 'catalogue', publishedBy: 'billing' }

type Row = { price_book_id: string; kind: 'catalogue' | 'override'; project_id: string | null; effective_at: Date }

function fromRow(row: Row & { body: string }): StoredPriceBook {
  return { entry: toEntry(row, Buffer.byteLength(row.body)), body: row.body }
}

function toRecord(
  row: Row & { size: number; origin: PriceBookStanding['origin']; published_by: string },
): PriceBookRecord {
  return { ...toEntry(row, row.size), origin: row.origin, publishedBy: row.published_by }
}

function toEntry(row: Row, sizeBytes: number): PriceBookEntry {
  return {
    price_book_id: row.price_book_id,
    kind: row.kind,
    ...(row.project_id !== null && { project_id: row.project_id }),
    effective_at_ms: row.effective_at.getTime(),
    size_bytes: sizeBytes,
  }
}
