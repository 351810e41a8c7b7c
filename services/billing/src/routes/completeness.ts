import type { LetterArchive } from '@sluice/postgres'
import type { FastifyInstance } from 'fastify'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import type { UsageStore } from '../usage-store.ts'

/** `GET /completeness`, for operators: "nothing is missing" as a query. What was discarded is shown, and no longer missed. */
export function completeness(
  app: FastifyInstance,
  deps: {
    usage: Pick<UsageStore, 'listCompleteness'>
    deadLetters: Pick<DeadLetterStore, 'count' | 'list'>
    archive: LetterArchive
  },
): void {
  app.get('/completeness', async () => {
    const series = await deps.usage.listCompleteness()
    const count = await deps.deadLetters.count()
    return {
      complete: count === 0 && series.every(one => one.gaps.length === 0),
      dead_letters: { count, oldest: await deps.deadLetters.list(100) },
      discarded: { count: await deps.archive.countDiscarded(), latest: await deps.archive.listDiscarded(100) },
      gaps: series
        .filter(one => one.gaps.length > 0)
        .map(({ gateway_id, epoch, partition, gaps }) => ({ gateway_id, epoch, partition, gaps })),
      series,
    }
  })
}
