import { listCompleteness } from '@sluice/postgres'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import type { AnalyticsTables } from '../db/schema.ts'
import type { DeadLetterStore } from '../dead-letter-store.ts'

export interface OperatorRouteDeps {
  db: Kysely<AnalyticsTables>
  deadLetters: DeadLetterStore
}

const mostDeadLetters = 100

/** `/completeness` of the operator port: what of every series has come, and what could not be applied. */
export function operatorRoutes(deps: OperatorRouteDeps): (app: FastifyInstance) => void {
  return app => {
    app.get('/completeness', async () => {
      const series = await listCompleteness(deps.db)
      return {
        complete: series.every(one => one.gaps.length === 0),
        series,
        dead_letter_count: await deps.deadLetters.countDeadLetters(),
        dead_letters: await deps.deadLetters.listDeadLetters(mostDeadLetters),
      }
    })
  }
}
