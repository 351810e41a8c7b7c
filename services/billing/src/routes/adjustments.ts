import { lineOfText, Quantities, Type } from '@sluice/contracts'
import { errorOf, type Logger } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { Static } from 'typebox'
import { correct } from '../adjustment.ts'
import type { AdjustmentStore } from '../adjustment-store.ts'
import { billingErrors } from '../errors.ts'
import { usageAdjusted } from '../events.ts'
import type { PriceBookShelf } from '../price-books.ts'
import type { UsageLogStore } from '../usage-log-store.ts'

interface Deps {
  adjustments: AdjustmentStore
  log: Pick<UsageLogStore, 'findPosted'>
  shelf: PriceBookShelf
  /** After the commit: what is in the outbox can go. */
  onAdjusted: () => void
  nowMs: () => number
  logger: Logger
}

const uuid = Type.String({ format: 'uuid' })
const line = Type.String({ minLength: 1, maxLength: 512, pattern: lineOfText })

/** A name that is written wrong would be a quantity of nothing. */
const KnownQuantities = Type.Object({ ...Quantities.properties }, { additionalProperties: false })

const Body = Type.Object(
  {
    project_id: uuid,
    event_id: uuid,
    /** What was really used, for the whole event; `{}`: nothing. Absent: as recorded. */
    quantities: Type.Optional(KnownQuantities),
    /** Rated by this book; absent: by the event's own. */
    price_book_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: lineOfText })),
    reason: line,
    /** Who corrects: this port knows nobody. */
    actor: line,
    /** Where the search in the log begins, for an event whose id has no time in it. */
    posted_from_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 })),
  },
  { additionalProperties: false },
)

const Query = Type.Object(
  {
    project_id: Type.Optional(uuid),
    before: Type.Optional(Type.String({ pattern: '^[0-9]{1,18}$' })),
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  },
  { additionalProperties: false },
)

const refusals = {
  'unknown-price-book': billingErrors.unknownPriceBook,
  'no-rate': billingErrors.noRate,
  'nothing-changes': billingErrors.nothingToAdjust,
} as const

/**
 * Of the operator port. `POST /adjustments` corrects one event: other quantities or another price book, with a reason and a
 * name; `GET /adjustments` lists who corrected what and why.
 */
export function adjustments(app: FastifyInstance, deps: Deps): void {
  app.post<{ Body: Static<typeof Body> }>('/adjustments', { schema: { body: Body } }, async (request, reply) => {
    const { body } = request
    const found = await deps.log.findPosted({
      projectId: body.project_id,
      eventId: body.event_id,
      ...(body.posted_from_ms === undefined ? {} : { fromMs: body.posted_from_ms }),
    })
    if (found === undefined) throw errorOf(billingErrors.eventNotFound)
    if (found === 'unposted') throw errorOf(billingErrors.eventNotPosted)
    const { event } = found
    const current = await deps.adjustments.findTotals(event)
    await deps.shelf.load(
      [body.price_book_id, current.price_book_id, event.override_price_book_id].filter(id => id !== undefined),
    )
    const correction = {
      ...(body.quantities === undefined ? {} : { quantities: body.quantities }),
      ...(body.price_book_id === undefined ? {} : { priceBookId: body.price_book_id }),
      eventId: body.event_id,
      projectId: body.project_id,
      reason: body.reason,
      actor: body.actor,
    }
    const outcome = await deps.adjustments.adjust(
      found,
      correction,
      totals => correct(event, totals, correction, deps.shelf.find),
      deps.nowMs(),
    )
    if ('refused' in outcome) throw errorOf(refusals[outcome.refused])
    deps.onAdjusted()
    usageAdjusted(deps.logger, outcome.adjusted, body.actor)
    return reply.code(201).send(outcome.adjusted)
  })

  app.get<{ Querystring: Static<typeof Query> }>('/adjustments', { schema: { querystring: Query } }, async request => {
    const { project_id: projectId, before, limit } = request.query
    return {
      adjustments: await deps.adjustments.list({
        projectId,
        before: before === undefined ? undefined : BigInt(before),
        limit,
      }),
    }
  })
}
