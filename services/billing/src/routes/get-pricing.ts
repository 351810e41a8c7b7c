import { Type } from '@sluice/contracts'
import { type PriceTable, parsePriceBook, priceTable } from '@sluice/pricing'
import { errorOf, responses } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { billingErrors } from '../errors.ts'
import type { PriceBookStore } from '../price-book-store.ts'

interface Deps {
  priceBooks: PriceBookStore
  nowMs: () => number
}

const schema = {
  summary: 'Get list prices',
  response: responses({ 200: Type.Unsafe<object>({ type: 'object', additionalProperties: true }) }),
}

/** `GET /pricing`, for everyone: list prices hold no one's data. Provider → model → usage key → USD per unit. */
export function getPricing(app: FastifyInstance, deps: Deps): void {
  let known: { id: string; table: PriceTable } | undefined
  app.get('/pricing', { config: { access: 'public' }, schema }, async (_request, reply) => {
    const current = await deps.priceBooks.findCurrentCatalogue(deps.nowMs())
    if (!current) throw errorOf(billingErrors.priceBookMissing)
    const id = current.entry.price_book_id
    if (known?.id !== id) known = { id, table: priceTable(parsePriceBook(current.body, id)) }
    reply.header('cache-control', 'public, max-age=60')
    return { ...known.table, price_book_id: id }
  })
}
