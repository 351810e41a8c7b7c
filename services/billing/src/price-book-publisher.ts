import { Objm } from '@nats-io/obj'
import { type Bus, openBucket, publishEvent } from '@sluice/bus'
import { PriceBookEntry, PriceBookPublished } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { priceBookPublished, priceBookWithdrawn } from './events.ts'
import type { PriceBookPublisher } from './price-books.ts'

/** Object first, then its name in the bucket, then the event: whoever hears of a book can fetch it. */
export async function openPriceBookPublisher(bus: Bus, log: Logger): Promise<PriceBookPublisher> {
  const bucket = await openBucket(bus, 'price-books', PriceBookEntry)
  const objects = await new Objm(bus.connection).open('price-books')
  return {
    async isPublished(entry) {
      const known = await bucket.get(entry.price_book_id)
      if (known?.effective_at_ms !== entry.effective_at_ms) return false
      return (await objects.info(entry.price_book_id)) !== null
    },
    async publish(entry, body) {
      if ((await objects.info(entry.price_book_id)) === null)
        await objects.putBlob({ name: entry.price_book_id }, Buffer.from(body))
      await bucket.put(entry.price_book_id, entry)
      await publishEvent(bus, PriceBookPublished, [], entry, {
        id: `${entry.price_book_id}-${entry.effective_at_ms}`,
        source: '/billing',
        timeMs: entry.effective_at_ms,
      })
      priceBookPublished(log, entry.price_book_id)
    },
    async withdraw(priceBookIds) {
      for (const priceBookId of priceBookIds) {
        await bucket.delete(priceBookId)
        priceBookWithdrawn(log, priceBookId)
      }
    },
  }
}
