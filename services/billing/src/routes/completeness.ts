import type { FastifyInstance } from 'fastify'
import type { UsageStore } from '../usage-store.ts'

/** `GET /completeness`, for operators: "nothing is missing" as a query. */
export function completeness(app: FastifyInstance, deps: { usage: UsageStore }): void {
  app.get('/completeness', async () => {
    const series = await deps.usage.listCompleteness()
    const deadLetters = await deps.usage.countDeadLetters()
    return {
      complete: deadLetters === 0 && series.every(one => one.gaps.length === 0),
      dead_letters: deadLetters,
      gaps: series
        .filter(one => one.gaps.length > 0)
        .map(({ gateway_id, epoch, partition, gaps }) => ({ gateway_id, epoch, partition, gaps })),
      series,
    }
  })
}
