import type { FastifyInstance } from 'fastify'
import type { LateEvent } from '../late-event-store.ts'

const limitQuery = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 } },
} as const

/** `GET /late-events`, for operators: what was posted more than 35 days after its admission. */
export function lateEvents(
  app: FastifyInstance,
  { list }: { list: (limit: number) => Promise<{ count: number; late_events: LateEvent[] }> },
): void {
  app.get<{ Querystring: { limit: number } }>(
    '/late-events',
    { schema: { querystring: limitQuery } },
    async ({ query }) => await list(query.limit),
  )
}
