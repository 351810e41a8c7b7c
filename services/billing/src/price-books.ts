import type { PriceBookEntry } from '@sluice/contracts'
import {
  type CompiledPriceBook,
  changesBetween,
  changesOfOverride,
  compilePriceBook,
  type PriceBook,
  type PriceChange,
  parsePriceBook,
  priceBookId,
  serialisePriceBook,
} from '@sluice/pricing'
import { catalogueChanges, importCatalogue } from '@sluice/pricing/catalogue'
import { errorOf } from '@sluice/runtime'
import { billingErrors } from './errors.ts'
import type { PriceBookStore } from './price-book-store.ts'

export interface StoredPriceBook {
  entry: PriceBookEntry
  body: string
}

/** Who of an account changes prices of a project, and where their request came from. */
export interface PriceBookAuthor {
  kind: 'member' | 'key'
  id: string
  accountId: string
  address: string
  userAgent: string | undefined
}

/** A change of a project's prices for its account's audit trail. */
export interface PriceBookChange {
  atMs: number
  author: PriceBookAuthor
  projectId: string
  action: 'price-book.published' | 'price-book.ended'
  /** The book that is meant. */
  target: string
  before: object | undefined
  after: object | undefined
}

/** Where a book comes from, and who put it in force: a member, a key, an operator, or this service by itself. */
export interface PriceBookStanding {
  origin: 'catalogue' | 'operator' | 'project'
  publishedBy: string
}

/** A published book without its content. */
export interface PriceBookRecord extends PriceBookEntry, PriceBookStanding {}

/** Tells gateways of a book; must be harmless when repeated. */
export interface PriceBookPublisher {
  isPublished(entry: PriceBookEntry): Promise<boolean>
  publish(entry: PriceBookEntry, body: string): Promise<void>
  /** Takes back books that have not come into force. */
  withdraw(priceBookIds: readonly string[]): Promise<void>
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

interface PriceBookDeps {
  store: PriceBookStore
  publisher: PriceBookPublisher
  nowMs: number
}

/**
 * Imports the catalogue as it holds now and puts it in force where it is not: always for a book that is new; for one that
 * was in force before, only with `reinstate`, so that two versions of this service side by side do not take turns. Changes
 * that the catalogue has a date for are published ahead. While an operator's own book is in force, nothing is imported.
 * @returns the id of the book in force
 */
export async function keepCatalogue(deps: PriceBookDeps, options: { reinstate: boolean }): Promise<string> {
  const { store, nowMs } = deps
  const current = await store.findCurrentCatalogue(nowMs)
  const inForce = current && (await store.findRecord(current.entry.price_book_id))
  if (inForce?.origin === 'operator') return inForce.price_book_id
  const { book } = importCatalogue({ atMs: nowMs })
  const id = priceBookId(book)
  if (current?.entry.price_book_id !== id) await putInForce(deps, { book, atMs: nowMs }, options.reinstate)
  let before = id
  for (const atMs of catalogueChanges({ afterMs: nowMs })) {
    const next = importCatalogue({ atMs }).book
    if (priceBookId(next) === before) continue
    before = priceBookId(next)
    await putInForce(deps, { book: next, atMs }, false)
  }
  return id
}

async function putInForce(
  deps: PriceBookDeps,
  { book, atMs }: { book: PriceBook; atMs: number },
  reinstate: boolean,
): Promise<void> {
  const prepared = prepare(book, atMs)
  // Stored before it is published: an event may name no book that billing could not rate with.
  const isNew = await deps.store.insert(prepared)
  if (!isNew && !reinstate) return
  if (!isNew) await deps.store.setEffective(prepared.entry.price_book_id, atMs, imported)
  await deps.publisher.publish(prepared.entry, prepared.body)
}

const imported: PriceBookStanding = { origin: 'catalogue', publishedBy: 'billing' }

function prepare(book: PriceBook, effectiveAtMs: number): StoredPriceBook {
  const body = serialisePriceBook(book)
  return {
    entry: {
      price_book_id: priceBookId(book),
      kind: book.project_id === undefined ? 'catalogue' : 'override',
      ...(book.project_id !== undefined && { project_id: book.project_id }),
      effective_at_ms: effectiveAtMs,
      size_bytes: Buffer.byteLength(body),
    },
    body,
  }
}

/** The catalogue of this release with an operator's prices before it, or these alone. */
export function operatorCatalogue(prices: PriceBook | undefined, atMs: number, alone: boolean): PriceBook {
  const { book } = importCatalogue({ atMs })
  if (!prices) return book
  if (alone) return prices
  for (const [provider, own] of Object.entries(prices.providers)) {
    const listed = book.providers[provider] ?? { models: [] }
    book.providers[provider] = {
      models: [...own.models, ...listed.models],
      defaults: { ...listed.defaults, ...own.defaults },
      modifiers: [...(own.modifiers ?? []), ...(listed.modifiers ?? [])],
    }
  }
  return book
}

/** What a book would change, beside what is in force when it would come into force. */
export async function previewChanges(store: PriceBookStore, book: PriceBook, atMs: number): Promise<PriceChange[]> {
  const catalogue = await store.findCurrentCatalogue(atMs)
  const before = (stored: StoredPriceBook | undefined) =>
    stored && parsePriceBook(stored.body, stored.entry.price_book_id)
  if (book.project_id === undefined) return changesBetween(before(catalogue), book)
  if (!catalogue) throw errorOf(billingErrors.priceBookMissing)
  const own = await store.findCurrentOverride(book.project_id, atMs)
  const compiled = compilePriceBook(parsePriceBook(catalogue.body), catalogue.entry.price_book_id)
  return changesOfOverride(compiled, before(own), book)
}

/**
 * Puts an operator's catalogue in force from an instant on, also one that was before. @throws AppError 409 where that book is
 * in force or about to be: giving it a later instant would take it out of force until then
 */
export async function publishCatalogue(
  deps: PriceBookDeps,
  book: PriceBook,
  effectiveAtMs: number,
  origin: 'catalogue' | 'operator',
): Promise<PriceBookEntry> {
  const { store, publisher, nowMs } = deps
  const current = await store.findCurrentCatalogue(nowMs)
  const prepared = prepareAfter(current, book, effectiveAtMs)
  const withdrawn = await store.inTransaction(async trx => {
    await putPrepared(trx, prepared, current, { origin, publishedBy: 'operator' }, nowMs)
    return origin === 'operator' ? await trx.withdrawUpcoming({ origin: 'catalogue' }, nowMs) : []
  })
  await publisher.publish(prepared.entry, prepared.body)
  await publisher.withdraw(withdrawn)
  return prepared.entry
}

/** Puts prices of a project in force from an instant on, as {@link publishCatalogue} does. @throws AppError 409 */
export async function publishProjectBook(
  deps: PriceBookDeps,
  book: PriceBook & { project_id: string },
  { effectiveAtMs, author, changes }: { effectiveAtMs: number; author: PriceBookAuthor; changes: PriceChange[] },
): Promise<PriceBookEntry> {
  const { store, publisher, nowMs } = deps
  const { project_id: projectId } = book
  const current = await store.findCurrentOverride(projectId, nowMs)
  const prepared = prepareAfter(current, book, effectiveAtMs)
  await store.inTransaction(async trx => {
    await putPrepared(trx, prepared, current, standingOf(author), nowMs)
    await trx.tellTrail({
      atMs: nowMs,
      author,
      projectId,
      action: 'price-book.published',
      target: prepared.entry.price_book_id,
      before: bookInTrail(current),
      after: {
        ...bookInTrail(prepared),
        changes: changes.slice(0, mostChangesInTrail),
        changes_left_out: Math.max(0, changes.length - mostChangesInTrail),
      },
    })
  })
  await publisher.publish(prepared.entry, prepared.body)
  return prepared.entry
}

/** Ends a project's own prices now, those that were to come too. @returns false where it has none */
export async function endProjectBook(
  deps: PriceBookDeps,
  projectId: string,
  author: PriceBookAuthor,
): Promise<boolean> {
  const { store, publisher, nowMs } = deps
  const current = await store.findCurrentOverride(projectId, nowMs)
  const isEmpty = !current || Object.keys(parsePriceBook(current.body).providers).length === 0
  // An empty book is how prices end: calls before it keep theirs.
  const empty = isEmpty ? undefined : prepareAfter(current, { format: 1, project_id: projectId, providers: {} }, nowMs)
  const withdrawn = await store.inTransaction(async trx => {
    const upcoming = await trx.withdrawUpcoming({ projectId }, nowMs)
    if (empty) await putPrepared(trx, empty, current, standingOf(author), nowMs)
    const [target = current?.entry.price_book_id] = empty ? [] : upcoming
    if (target !== undefined && (empty || upcoming.length > 0))
      await trx.tellTrail({
        atMs: nowMs,
        author,
        projectId,
        action: 'price-book.ended',
        target,
        before: { ...(isEmpty ? {} : bookInTrail(current)), upcoming },
        after: undefined,
      })
    return upcoming
  })
  await publisher.withdraw(withdrawn)
  if (empty) await publisher.publish(empty.entry, empty.body)
  return empty !== undefined || withdrawn.length > 0
}

/** Rates that one entry of a trail shows: a book names them all, and is kept for good. */
const mostChangesInTrail = 100

function bookInTrail(book: StoredPriceBook | undefined): object | undefined {
  if (!book) return undefined
  const { price_book_id, effective_at_ms } = book.entry
  return { price_book_id, effective_at: new Date(effective_at_ms).toISOString() }
}

function standingOf({ kind, id }: PriceBookAuthor): PriceBookStanding {
  return { origin: 'project', publishedBy: `${kind}:${id}` }
}

/** Of two books of one instant nobody could tell which holds. */
function prepareAfter(current: StoredPriceBook | undefined, book: PriceBook, effectiveAtMs: number): StoredPriceBook {
  return prepare(book, Math.max(effectiveAtMs, (current?.entry.effective_at_ms ?? 0) + 1))
}

async function putPrepared(
  store: PriceBookStore,
  prepared: StoredPriceBook,
  current: StoredPriceBook | undefined,
  standing: PriceBookStanding,
  nowMs: number,
): Promise<void> {
  const { price_book_id: id, effective_at_ms: effectiveAtMs } = prepared.entry
  const known = await store.findRecord(id)
  if (known && (current?.entry.price_book_id === id || known.effective_at_ms > nowMs))
    throw errorOf(billingErrors.alreadyInForce, {
      message: `These are exactly the prices of ${id}, in force from ${new Date(known.effective_at_ms).toISOString()}. Publish them again when other prices have come into force.`,
    })
  const isNew = await store.insert(prepared, standing)
  if (!isNew) await store.setEffective(id, effectiveAtMs, standing)
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
