import { setTimeout as delay } from 'node:timers/promises'
import { Objm } from '@nats-io/obj'
import { type Bus, followBucket } from '@sluice/bus'
import { PriceBookEntry } from '@sluice/contracts'
import { type CompiledPriceBook, compilePriceBook, parsePriceBook, priceBookId } from '@sluice/pricing'
import type { Logger } from '@sluice/runtime'

/**
 * Price books in memory: named by KV `price-books`, fetched from the object store of the same name. A book is immutable,
 * so only the choice between books can be stale.
 */
export interface PricesView {
  /** The catalogue in force at `nowMs`; undefined until the first one has come. */
  current: (nowMs: number) => CompiledPriceBook | undefined
  find: (priceBookId: string) => CompiledPriceBook | undefined
  /** Billing has published a book of this id; it may still be on its way here. */
  isPublished: (priceBookId: string) => boolean
  close: () => Promise<void>
}

export async function followPrices(bus: Bus, log: Logger): Promise<PricesView> {
  const books = new Map<string, CompiledPriceBook>()
  let catalogues: PriceBookEntry[] = []
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
    if (entry.kind === 'catalogue') {
      catalogues = [...catalogues.filter(other => other.price_book_id !== entry.price_book_id), entry].sort(
        (a, b) => b.effective_at_ms - a.effective_at_ms,
      )
    }
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
    onChange: (_key, entry) => {
      if (!entry || books.has(entry.price_book_id)) return
      const task = loadUntilThere(entry).finally(() => loading.delete(task))
      loading.add(task)
    },
  })
  // A book that cannot be had now does not keep the gateway from starting: it is not ready until one is there.
  await Promise.race([Promise.all(loading), delay(5_000, undefined, { ref: false })])

  return {
    current: nowMs => {
      for (const entry of catalogues) if (entry.effective_at_ms <= nowMs) return books.get(entry.price_book_id)
      return undefined
    },
    find: priceBookId => books.get(priceBookId),
    isPublished: priceBookId => view.get(priceBookId) !== undefined,
    close: async () => {
      stopping.abort()
      await view.close()
    },
  }
}
