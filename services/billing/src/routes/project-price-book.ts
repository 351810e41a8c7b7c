import { Type } from '@sluice/contracts'
import { formatPriceChanges, parsePriceBook, priceBookId, priceTable } from '@sluice/pricing'
import { errorOf, principalOf, type RestCredentialViews, responses } from '@sluice/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { billingErrors } from '../errors.ts'
import { readEffectiveAt, readPrices } from '../price-book-request.ts'
import type { PriceBookStore } from '../price-book-store.ts'
import {
  endProjectBook,
  type PriceBookAuthor,
  type PriceBookPublisher,
  previewChanges,
  publishProjectBook,
} from '../price-books.ts'

interface Deps {
  credentials: RestCredentialViews
  priceBooks: PriceBookStore
  publisher: PriceBookPublisher
  /** Told right after a commit: something is to be sent. */
  onChange: () => void
  nowMs: () => number
}

const path = '/accounts/projects/:pid/price-book'
/** Each is kept by each gateway. */
const maxBooksOfProject = 500

const NullableString = Type.Union([Type.String(), Type.Null()])
/** Provider → model → usage key → USD per unit. */
const Prices = Type.Unsafe<object>({ type: 'object', additionalProperties: true })

const getSchema = {
  summary: 'Get what a project pays instead of the catalogue',
  response: responses({
    200: Type.Object({
      price_book_id: NullableString,
      prices: Prices,
      books: Type.Array(
        Type.Object({ price_book_id: Type.String(), effective_at: Type.String(), published_by: NullableString }),
      ),
    }),
  }),
}
const Published = Type.Object({
  price_book_id: Type.String(),
  effective_at: Type.String(),
  published: Type.Boolean(),
  changes: Type.Array(Type.Unsafe<object>({ type: 'object', additionalProperties: true })),
  text: Type.String(),
})
const deleteSchema = { summary: 'Go back to the catalogue', response: responses({ 204: Type.Null() }) }
const putSchema = {
  summary: 'Set what a project pays',
  example: {
    prices: {
      source: 'Contract of 2026-11-01',
      providers: { openai: { models: [{ id: 'gpt-5.4', prices: { in_text: '2', out_text: '12' } }] } },
    },
    effective_at: '2027-01-01T00:00:00Z',
  },
  response: responses({ 200: Published, 201: Published }),
  querystring: { type: 'object', properties: { dry_run: { type: 'boolean', default: false } } },
  body: {
    type: 'object',
    required: ['prices'],
    additionalProperties: false,
    properties: { prices: { type: 'object' }, effective_at: { type: 'string', maxLength: 40 } },
  },
} as const

/**
 * `GET`, `PUT`, `DELETE /accounts/projects/{pid}/price-book`: what a project pays instead of the catalogue. Whoever pays may
 * read it; to change it takes an administrator of the account, since a price of zero would end every budget.
 */
export function projectPriceBook(app: FastifyInstance, deps: Deps): void {
  const { priceBooks, publisher } = deps
  const stores = () => ({ store: priceBooks, publisher, nowMs: deps.nowMs() })

  const config = { access: 'billing:read' } as const
  app.get<{ Params: { pid: string } }>(path, { config, schema: getSchema }, async request => {
    const nowMs = deps.nowMs()
    const current = await priceBooks.findCurrentOverride(request.params.pid, nowMs)
    const prices = current && priceTable(parsePriceBook(current.body, current.entry.price_book_id))
    const hasPrices = current !== undefined && Object.keys(prices ?? {}).length > 0
    return {
      price_book_id: hasPrices ? current.entry.price_book_id : null,
      prices: hasPrices ? prices : {},
      books: (await priceBooks.listRecords(request.params.pid)).map(record => ({
        price_book_id: record.price_book_id,
        effective_at: new Date(record.effective_at_ms).toISOString(),
        published_by: record.publishedBy,
      })),
    }
  })

  app.put<{
    Params: { pid: string }
    Querystring: { dry_run: boolean }
    Body: { prices: unknown; effective_at?: string }
  }>(path, { config, schema: putSchema }, async (request, reply) => {
    const { pid } = request.params
    const author = requireAccountAdmin(deps, request, pid)
    const nowMs = deps.nowMs()
    const effectiveAtMs = readEffectiveAt(request.body.effective_at, nowMs)
    const book = { ...readPrices(request.body.prices), project_id: pid }
    const changes = await previewChanges(priceBooks, book, effectiveAtMs)
    const answer = {
      price_book_id: priceBookId(book),
      effective_at: new Date(effectiveAtMs).toISOString(),
      published: !request.query.dry_run,
      changes,
      text: formatPriceChanges(changes),
    }
    if (request.query.dry_run) return answer
    if ((await priceBooks.listRecords(pid)).length >= maxBooksOfProject)
      throw errorOf(billingErrors.priceBookInvalid, {
        message: `A project has at most ${maxBooksOfProject} price books.`,
      })
    const entry = await publishProjectBook(stores(), book, { effectiveAtMs, author, changes })
    deps.onChange()
    reply.code(201)
    return { ...answer, effective_at: new Date(entry.effective_at_ms).toISOString() }
  })

  app.delete<{ Params: { pid: string } }>(path, { config, schema: deleteSchema }, async (request, reply) => {
    const { pid } = request.params
    const author = requireAccountAdmin(deps, request, pid)
    if (!(await endProjectBook(stores(), pid, author))) throw errorOf(billingErrors.noOwnPrices)
    deps.onChange()
    return reply.code(204).send()
  })
}

/** @throws AppError 403 where the caller is no administrator of the project's account */
function requireAccountAdmin(deps: Deps, request: FastifyRequest, projectId: string): PriceBookAuthor {
  const principal = principalOf(request)
  if (!principal.accountAdmin || deps.credentials.accountOfProject(projectId) !== principal.accountId)
    throw errorOf(billingErrors.notAccountAdmin)
  const { kind, id, accountId } = principal
  return { kind, id, accountId, address: request.ip, userAgent: request.headers['user-agent'] }
}
