import type { FastifyInstance } from 'fastify'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import type { PriceBookShelf } from '../price-books.ts'
import { checkRating } from '../rate-usage.ts'

interface Deps {
  deadLetters: DeadLetterStore
  shelf: PriceBookShelf
}

/** `POST /dead-letters/{id}/replay`, for operators, after the cause is gone. */
export function replayDeadLetter(app: FastifyInstance, deps: Deps): void {
  app.post<{ Params: { id: string } }>('/dead-letters/:id/replay', async (request, reply) => {
    const { id } = request.params
    if (!/^\d{1,18}$/.test(id)) return reply.code(404).send({ outcome: 'unknown' })
    await deps.shelf.load(await deps.deadLetters.findPriceBookIds(id))
    const outcome = await deps.deadLetters.replay(id, event => checkRating(event, deps.shelf.find))
    return reply.code({ posted: 200, unknown: 404, unreadable: 409 }[outcome]).send({ outcome })
  })
}
