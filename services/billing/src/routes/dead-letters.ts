import type { LetterArchive } from '@sluice/postgres'
import type { Logger } from '@sluice/runtime'
import { addDeadLetterRoutes } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import type { PriceBookShelf } from '../price-books.ts'
import { checkRating } from '../rate-usage.ts'

interface Deps {
  deadLetters: DeadLetterStore
  archive: LetterArchive
  shelf: PriceBookShelf
  log: Logger
}

/** `/dead-letters…`, for operators: to look at, to apply after the cause is gone, to discard with a reason. */
export function deadLetters(app: FastifyInstance, { deadLetters: store, archive, shelf, log }: Deps): void {
  addDeadLetterRoutes(app, {
    ...archive,
    count: () => store.count(),
    list: limit => store.list(limit),
    async replay(id) {
      await shelf.load(await store.findPriceBookIds(id))
      const outcome = await store.replay(id, event => checkRating(event, shelf.find))
      return ({ posted: 'applied', unknown: 'unknown', unreadable: 'still-dead' } as const)[outcome]
    },
    log,
  })
}
