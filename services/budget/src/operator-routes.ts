import type { SeriesCompleteness } from '@sluice/postgres'
import type { FastifyInstance } from 'fastify'
import type { DeadLetterSummary } from './dead-letter-store.ts'

export interface OperatorRouteDeps {
  completeness: () => Promise<SeriesCompleteness[]>
  deadLetters: () => Promise<{ count: number; first: DeadLetterSummary[] }>
  /** Applies a dead letter after its cause is gone. */
  replay: (id: string) => Promise<'applied' | 'unknown' | 'still-dead'>
}

/** For operators: what this service has received of each series, and what it could not apply. */
export function addOperatorRoutes(app: FastifyInstance, deps: OperatorRouteDeps): void {
  app.get('/completeness', async () => {
    const series = await deps.completeness()
    const letters = await deps.deadLetters()
    return {
      complete: letters.count === 0 && series.every(row => row.gaps.length === 0),
      series,
      dead_letters: letters.count,
      first_dead_letters: letters.first,
    }
  })
  app.post<{ Params: { id: string } }>('/dead-letters/:id/replay', async (request, reply) => {
    const { id } = request.params
    const outcome = /^\d{1,18}$/.test(id) ? await deps.replay(id) : 'unknown'
    return reply.code({ applied: 200, unknown: 404, 'still-dead': 409 }[outcome]).send({ outcome })
  })
}
