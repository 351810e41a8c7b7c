import { parseSeriesKey } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import { isRefusedByClickhouse, isRefusedForGood } from '../dead-letter-store.ts'
import { errors } from '../errors.ts'
import { readLine } from '../usage-message.ts'
import { type UsageWriterDeps, writeReplayed } from '../usage-writer.ts'

export interface OperatorRouteDeps extends UsageWriterDeps {
  deadLetters: DeadLetterStore
}

const mostDeadLetters = 100

/**
 * Of the operator port: `/completeness` says what of every series has come and what could not be applied;
 * `POST /dead-letters/{id}/replay` applies a letter that this version can read.
 */
export function operatorRoutes(deps: OperatorRouteDeps): (app: FastifyInstance) => void {
  return app => {
    app.get('/completeness', async () => {
      const series = await deps.log.listCompleteness()
      return {
        complete: series.every(one => one.gaps.length === 0),
        series,
        dead_letter_count: await deps.deadLetters.countDeadLetters(),
        dead_letters: await deps.deadLetters.listDeadLetters(mostDeadLetters),
      }
    })
    app.post<{ Params: { id: string } }>(
      '/dead-letters/:id/replay',
      { schema: { params: { type: 'object', properties: { id: { type: 'string', pattern: '^[0-9]{1,18}$' } } } } },
      async request => {
        const { id } = request.params
        const line = await deps.deadLetters.findLine(id)
        if (!line) throw errorOf(errors.letterNotReplayable)
        try {
          await writeReplayed(deps, id, readLine(line.content, { ...parseSeriesKey(line.series), seq: line.seq }))
        } catch (cause) {
          if (isRefusedForGood(cause) || isRefusedByClickhouse(cause))
            throw errorOf(errors.letterNotReplayable, { cause })
          throw cause
        }
        return { replayed: id }
      },
    )
  }
}
