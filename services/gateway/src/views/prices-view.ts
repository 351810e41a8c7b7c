import { setTimeout as delay } from 'node:timers/promises'
import { Objm } from '@nats-io/obj'
import { type Bus, followBucket } from '@sluice/bus'
import { PriceBookEntry } from '@sluice/contracts'
import { type CompiledPriceBook, compilePriceBook, parsePriceBook, priceBookId } from '@sluice/pricing'
import type { Logger } from '@sluice/runtime'
import { PriceSchedule } from './price-schedule.ts'

/**
 * Price books in memory: named by KV `price-books`, fetched from the object store of the same name. A book is immutable,
 * so only the choice between books can be stale.
 */
export interface PricesView {
  /** The catalogue in force at `nowMs`; undefined until the first one has come. */
  current: (nowMs: number) => CompiledPriceBook | undefined
  /** A project's own book; undefined where it has none, `missing` where it is known of and not here. */
  override: (projectId: string, nowMs: number) => CompiledPriceBook | 'missing' | undefined
  find: (priceBookId: string) => CompiledPriceBook | undefined
  /** Billing has published a book of this id; it may still be on its way here. */
  isPublished: (priceBookId: string) => boolean
  close: () => Promise<void>
}

export async function followPrices(bus: Bus, log: Logger): Promise<PricesView> {
  const books = new Map<string, CompiledPriceBook>()
  const schedule = new PriceSchedule(priceBookId => books.has(priceBookId))
  const loading = new Set<Promise<void>>()

  async function load(entry: PriceBookEntry): Promise<void> {
    const store = await new Objm(bus.connection).open('price-books')
    const bytes = await store.getBlob(entry.price_book_id)
    if (!bytes) throw new Error(`price book ${entry.price_book_id} is not in the object store`)
    const book = parsePriceBook(new TextDecoder().decode(bytes))
    // The id is the hash of the content: a book that was changed on the way is refused.
    if (priceBookId(book) !== entry.price_book_id)
      throw new Error(`price book ${entry.price_book_id} has another content than its id says`)
    books.set(entry.price_book_id, compilePriceBook(book, entry.price_book_id))
  }

  const stopping = new AbortController()
  async function loadUntilThere(entry: PriceBookEntry): Promise<void> {
    for (let tries = 0; !stopping.signal.aborted; tries++) {
      try {
        await load(entry)
        return
      } catch (err) {
        log.error({ err, priceBookId: entry.price_book_id, tries }, 'price book not loaded, will be tried again')
        await delay(Math.min(250 * 2 ** tries, 10_000), undefined, { signal: stopping.signal }).catch(() => {})
      }
    }
  }

  const view = await followBucket(bus, 'price-books', PriceBookEntry, {
    log,
    onChange: (priceBookId, entry) => {
      if (!entry) {
        schedule.remove(priceBookId)
        return
      }
      schedule.put(entry)
      if (books.has(entry.price_book_id)) return
      const task = loadUntilThere(entry).finally(() => loading.delete(task))
      loading.add(task)
    },
  })
  // A book that cannot be had now does not keep the gateway from starting: it is not ready until one is there.
  await Promise.race([Promise.all(loading), delay(5_000, undefined, { ref: false })])

  return {
    current: nowMs => {
      const id = schedule.catalogueAt(nowMs)
      return id === undefined ? undefined : books.get(id)
    },
    override: (projectId, nowMs) => {
      const id = schedule.overrideAt(projectId, nowMs)
      if (id === undefined || id === 'missing') return id
      const book = books.get(id)
      // An empty book is how a project's prices end.
      return book?.isEmpty ? undefined : book
    },
    find: priceBookId => books.get(priceBookId),
    isPublished: priceBookId => view.get(priceBookId) !== undefined,
    close: async () => {
      stopping.abort()
      await view.close()
    },
  }
}
