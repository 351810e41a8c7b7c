import { formatPriceChanges, priceBookId } from '@sluice/pricing'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { billingErrors } from '../errors.ts'
import { readEffectiveAt, readPrices } from '../price-book-request.ts'
import type { PriceBookStore } from '../price-book-store.ts'
import { operatorCatalogue, type PriceBookPublisher, previewChanges, publishCatalogue } from '../price-books.ts'

interface Deps {
  priceBooks: PriceBookStore
  publisher: PriceBookPublisher
  nowMs: () => number
}

interface Body {
  /** A price file; absent: the catalogue of this release alone. */
  prices?: unknown
  /** The prices stand alone, without the catalogue below them. */
  alone?: boolean
  effective_at?: string
  /** The id that the preview has named; absent: only a preview. */
  publish?: string
}

const schema = {
  body: {
    type: 'object',
    additionalProperties: false,
    properties: {
      prices: { type: 'object' },
      alone: { type: 'boolean' },
      effective_at: { type: 'string', maxLength: 40 },
      publish: { type: 'string', maxLength: 64 },
    },
  },
} as const

/**
 * For operators: `GET /price-books`, and `POST /price-books`, which shows what a price file or the catalogue of this release
 * would change, and publishes the book that was looked at. `accept: text/plain` answers for a person.
 */
export function catalogueBooks(app: FastifyInstance, deps: Deps): void {
  app.get('/price-books', async () => {
    const inForce = (await deps.priceBooks.findCurrentCatalogue(deps.nowMs()))?.entry.price_book_id
    return {
      price_books: (await deps.priceBooks.listRecords()).map(record => ({
        price_book_id: record.price_book_id,
        effective_at: new Date(record.effective_at_ms).toISOString(),
        origin: record.origin,
        in_force: record.price_book_id === inForce,
      })),
    }
  })

  app.post<{ Body: Body }>('/price-books', { schema, bodyLimit: maxFileBytes }, async (request, reply) => {
    const answer = await previewOrPublish(deps, request.body)
    if (answer.published) reply.code(201)
    if (request.headers.accept?.startsWith('text/plain') !== true) return answer
    return reply.type('text/plain; charset=utf-8').send(textOf(answer))
  })
}

/** The catalogue with all its rows is a quarter of it. */
const maxFileBytes = 2 * 1024 * 1024

interface Answer {
  price_book_id: string
  effective_at: string
  published: boolean
  changes: Awaited<ReturnType<typeof previewChanges>>
  text: string
}

async function previewOrPublish(deps: Deps, body: Body): Promise<Answer> {
  const nowMs = deps.nowMs()
  const effectiveAtMs = readEffectiveAt(body.effective_at, nowMs)
  const prices = body.prices === undefined ? undefined : readPrices(body.prices)
  const book = operatorCatalogue(prices, effectiveAtMs, body.alone ?? false)
  const id = priceBookId(book)
  const changes = await previewChanges(deps.priceBooks, book, effectiveAtMs)
  const answer = { price_book_id: id, effective_at: new Date(effectiveAtMs).toISOString(), changes }
  const text = formatPriceChanges(changes)
  if (body.publish === undefined) return { ...answer, published: false, text }
  if (body.publish !== id)
    throw errorOf(billingErrors.notPreviewed, {
      message: `This would publish ${id}, not ${body.publish}. Look at its changes, then publish that id.`,
    })
  const stores = { store: deps.priceBooks, publisher: deps.publisher, nowMs }
  // With the catalogue alone the service keeps it up to date by itself again.
  const origin = prices === undefined ? 'catalogue' : 'operator'
  await publishCatalogue(stores, book, effectiveAtMs, origin)
  return { ...answer, published: true, text }
}

function textOf(answer: Answer): string {
  const line = answer.published
    ? `${answer.price_book_id} is published, in force from ${answer.effective_at}.`
    : `To publish: send the same with "publish": "${answer.price_book_id}". In force from ${answer.effective_at}.`
  return `${answer.text}\n${line}\n`
}
