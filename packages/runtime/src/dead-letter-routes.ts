import type { FastifyInstance } from 'fastify'
import type { Logger } from './logger.ts'
import { type OperatorWord, operatorWord } from './operator-word.ts'

/** What became of a letter that was to be applied. */
export type ReplayOutcome = 'applied' | 'unknown' | 'still-dead'

export interface DeadLetterRouteDeps {
  count: () => Promise<number>
  /** Oldest first, without content. */
  list: (limit: number) => Promise<readonly object[]>
  find: (id: string) => Promise<{ letter: object; content: Uint8Array } | undefined>
  replay: (id: string) => Promise<ReplayOutcome>
  discard: (id: string, discard: OperatorWord & { remoteAddress: string }) => Promise<boolean>
  countDiscarded: () => Promise<number>
  listDiscarded: (limit: number) => Promise<readonly object[]>
  log: Logger
}

const limitQuery = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 } },
} as const

/** More of a letter is cut off: whole messages may be large. */
const maxShownBytes = 256 * 1024

/**
 * Of the operator port: what could not be applied, to be looked at, applied after its cause is gone, or given up with a name
 * and a reason.
 */
export function addDeadLetterRoutes(app: FastifyInstance, deps: DeadLetterRouteDeps): void {
  app.get<{ Querystring: { limit: number } }>(
    '/dead-letters',
    { schema: { querystring: limitQuery } },
    async ({ query }) => ({ count: await deps.count(), dead_letters: await deps.list(query.limit) }),
  )

  app.get<{ Querystring: { limit: number } }>(
    '/dead-letters/discarded',
    { schema: { querystring: limitQuery } },
    async ({ query }) => ({ count: await deps.countDiscarded(), discarded: await deps.listDiscarded(query.limit) }),
  )

  app.get<{ Params: { id: string } }>('/dead-letters/:id', async ({ params }, reply) => {
    const found = isId(params.id) ? await deps.find(params.id) : undefined
    if (!found) return reply.code(404).send({ outcome: 'unknown' })
    const content = Buffer.from(found.content)
    return {
      ...found.letter,
      content_bytes: content.length,
      content: content.toString('utf8', 0, maxShownBytes),
    }
  })

  app.post<{ Params: { id: string } }>('/dead-letters/:id/replay', async ({ params }, reply) => {
    const outcome = isId(params.id) ? await deps.replay(params.id) : 'unknown'
    if (outcome === 'applied') deps.log.info({ deadLetterId: params.id }, 'dead letter applied')
    return reply.code({ applied: 200, unknown: 404, 'still-dead': 409 }[outcome]).send({ outcome })
  })

  app.post<{ Params: { id: string }; Body: OperatorWord }>(
    '/dead-letters/:id/discard',
    { schema: { body: operatorWord } },
    async ({ params, body, ip }, reply) => {
      const gone = isId(params.id) && (await deps.discard(params.id, { ...body, remoteAddress: ip }))
      if (!gone) return reply.code(404).send({ outcome: 'unknown' })
      deps.log.warn({ deadLetterId: params.id, by: body.by, reason: body.reason }, 'dead letter discarded')
      return { outcome: 'discarded' }
    },
  )
}

function isId(text: string): boolean {
  return /^\d{1,18}$/.test(text)
}
