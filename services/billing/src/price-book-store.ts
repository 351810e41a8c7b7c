import type { PriceBookEntry } from '@sluice/contracts'
import type { Kysely } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'

export interface StoredPriceBook {
  entry: PriceBookEntry
  body: string
}

/** Price books in PostgreSQL: the record that everything published can be published from again. */
export interface PriceBookStore {
  insert(book: StoredPriceBook): Promise<boolean>
  /** Makes a catalogue that is known already the one in force. */
  setEffective(priceBookId: string, effectiveAtMs: number): Promise<void>
  find(priceBookId: string): Promise<StoredPriceBook | undefined>
  findCurrentCatalogue(nowMs: number): Promise<StoredPriceBook | undefined>
  listEntries(): Promise<PriceBookEntry[]>
}

export function priceBookStore(db: Kysely<Tables>): PriceBookStore {
  const columns = ['price_book_id', 'kind', 'project_id', 'effective_at', 'body'] as const
  return {
    async insert({ entry, body }) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('price_books')
        .values({
          price_book_id: entry.price_book_id,
          kind: entry.kind,
          project_id: entry.project_id ?? null,
          effective_at: new Date(entry.effective_at_ms),
          body,
        })
        .onConflict(conflict => conflict.doNothing())
        .executeTakeFirst()
      return (numInsertedOrUpdatedRows ?? 0n) > 0n
    },
    async setEffective(priceBookId, effectiveAtMs) {
      await db
        .updateTable('price_books')
        .set({ effective_at: new Date(effectiveAtMs) })
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
    async findCurrentCatalogue(nowMs) {
      const row = await db
        .selectFrom('price_books')
        .select(columns)
        .where('kind', '=', 'catalogue')
        .where('effective_at', '<=', new Date(nowMs))
        .orderBy('effective_at', 'desc')
        .orderBy('price_book_id')
        .limit(1)
        .executeTakeFirst()
      return row && fromRow(row)
    },
    async listEntries() {
      const rows = await db
        .selectFrom('price_books')
        .select(['price_book_id', 'kind', 'project_id', 'effective_at', sql<number>`octet_length(body)`.as('size')])
        .orderBy('effective_at')
        .execute()
      return rows.map(row => toEntry(row, row.size))
    },
  }
}

type Row = { price_book_id: string; kind: 'catalogue' | 'override'; project_id: string | null; effective_at: Date }

function fromRow(row: Row & { body: string }): StoredPriceBook {
  return { entry: toEntry(row, Buffer.byteLength(row.body)), body: row.body }
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
