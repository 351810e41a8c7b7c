import type { PriceBookEntry } from '@sluice/contracts'
import {
  type CompiledPriceBook,
  compilePriceBook,
  importCatalogue,
  parsePriceBook,
  priceBookId,
  serialisePriceBook,
} from '@sluice/pricing'
import type { PriceBookStore } from './price-book-store.ts'

/** Tells gateways of a book; must be harmless when repeated. */
export interface PriceBookPublisher {
  isPublished(entry: PriceBookEntry): Promise<boolean>
  publish(entry: PriceBookEntry, body: string): Promise<void>
}

/** The books this process has compiled, and those it can fetch. */
export interface PriceBookShelf {
  /** Loads books not seen before; ids without a book stay unknown. */
  load(priceBookIds: Iterable<string>): Promise<void>
  find(priceBookId: string): CompiledPriceBook | undefined
}

/** Compiled books by id. Books are immutable: what is here never grows stale. */
export function priceBookShelf(store: PriceBookStore): PriceBookShelf {
  const books = new Map<string, CompiledPriceBook>()
  return {
    async load(ids) {
      for (const id of new Set(ids)) {
        if (books.has(id)) continue
        const stored = await store.find(id)
        if (stored) books.set(id, compilePriceBook(parsePriceBook(stored.body, id), id))
      }
    },
    find: id => books.get(id),
  }
}

/**
 * Imports the catalogue as it holds now and puts it in force where it is not: always for a book that is new; for one that
 * was in force before, only with `reinstate`, so that two versions of this service side by side do not take turns.
 * @returns the id of the imported book
 */
export async function keepCatalogue(
  deps: { store: PriceBookStore; publisher: PriceBookPublisher; nowMs: number },
  options: { reinstate: boolean },
): Promise<string> {
  const { book } = importCatalogue({ atMs: deps.nowMs })
  const id = priceBookId(book)
  const current = await deps.store.findCurrentCatalogue(deps.nowMs)
  if (current?.entry.price_book_id === id) return id
  const body = serialisePriceBook(book)
  const entry: PriceBookEntry = {
    price_book_id: id,
    kind: 'catalogue',
    effective_at_ms: deps.nowMs,
    size_bytes: Buffer.byteLength(body),
  }
  // Stored before it is published: an event may name no book that billing could not rate with.
  const isNew = await deps.store.insert({ entry, body })
  if (!isNew && !options.reinstate) return id
  if (!isNew) await deps.store.setEffective(id, deps.nowMs)
  await deps.publisher.publish(entry, body)
  return id
}

/** Publishes every stored book that the bus does not have: after a crash between store and bus, or a new bus. */
export async function republishMissing(deps: {
  store: PriceBookStore
  publisher: PriceBookPublisher
}): Promise<string[]> {
  const published: string[] = []
  for (const entry of await deps.store.listEntries()) {
    if (await deps.publisher.isPublished(entry)) continue
    const stored = await deps.store.find(entry.price_book_id)
    if (!stored) continue
    await deps.publisher.publish(stored.entry, stored.body)
    published.push(entry.price_book_id)
  }
  return published
}
