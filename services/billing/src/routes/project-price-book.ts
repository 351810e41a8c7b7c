import { formatPriceChanges, parsePriceBook, priceBookId, priceTable } from '@sluice/pricing'
import {
  authenticateRest,
  type CredentialSource,
  errorOf,
  type RestCredentialViews,
  type RestPrincipal,
  requirePermission,
} from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { billingErrors } from '../errors.ts'
import { readEffectiveAt, readPrices } from '../price-book-request.ts'
import type { PriceBookStore } from '../price-book-store.ts'
import { endProjectBook, type PriceBookPublisher, previewChanges, publishBook } from '../price-books.ts'

interface Deps {
  credentials: RestCredentialViews
  priceBooks: PriceBookStore
  publisher: PriceBookPublisher
  nowMs: () => number
}

const path = '/accounts/projects/:pid/price-book'
/** Each is kept by each gateway. */
const maxBooksOfProject = 500

const putSchema = {
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

  app.get<{ Params: { pid: string } }>(path, async request => {
    const nowMs = deps.nowMs()
    const principal = authenticateRest(deps.credentials, request, nowMs)
    requirePermission(deps.credentials, principal, request.params.pid, 'billing:read')
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
  }>(path, { schema: putSchema }, async (request, reply) => {
    const { pid } = request.params
    const principal = requireAccountAdmin(deps, request, pid)
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
    const entry = await publishBook(stores(), book, effectiveAtMs, {
      origin: 'project',
      publishedBy: `${principal.kind}:${principal.id}`,
    })
    reply.code(201)
    return { ...answer, effective_at: new Date(entry.effective_at_ms).toISOString() }
  })

  app.delete<{ Params: { pid: string } }>(path, async (request, reply) => {
    const { pid } = request.params
    const principal = requireAccountAdmin(deps, request, pid)
    if (!(await endProjectBook(stores(), pid, `${principal.kind}:${principal.id}`)))
      throw errorOf(billingErrors.noOwnPrices)
    return reply.code(204).send()
  })
}

/** @throws AppError 401, 404 where the project is not the caller's to know, 403 where they are no administrator */
function requireAccountAdmin(deps: Deps, request: CredentialSource, projectId: string): RestPrincipal {
  const principal = authenticateRest(deps.credentials, request, deps.nowMs())
  requirePermission(deps.credentials, principal, projectId, 'billing:read')
  if (!principal.accountAdmin || deps.credentials.accountOfProject(projectId) !== principal.accountId)
    throw errorOf(billingErrors.notAccountAdmin)
  return principal
}
