import type { GapRecord, LetterArchive, RebuildStore, SeriesCompleteness } from '@sluice/postgres'
import { addDeadLetterRoutes, addGapRoutes, addRebuildRoutes, type Logger, type ReplayOutcome } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { DeadLetterSummary } from './dead-letter-store.ts'

export interface OperatorRouteDeps {
  completeness: () => Promise<SeriesCompleteness[]>
  countDeadLetters: () => Promise<number>
  listDeadLetters: (limit: number) => Promise<DeadLetterSummary[]>
  /** Applies a dead letter after its cause is gone. */
  replay: (id: string) => Promise<ReplayOutcome>
  archive: LetterArchive
  gaps: GapRecord
  memory: Pick<RebuildStore, 'read' | 'begin'>
  log: Logger
}

/** For operators: what this service has received of each series, what it could not apply, and a rebuild from the usage log. */
export function addOperatorRoutes(app: FastifyInstance, deps: OperatorRouteDeps): void {
  app.get('/completeness', async () => {
    const series = await deps.completeness()
    const missed = await deps.gaps.leaveOut(series)
    const count = await deps.countDeadLetters()
    return {
      complete: count === 0 && missed.every(row => row.gaps.length === 0),
      series,
      given_up_gaps: { count: await deps.gaps.countGivenUp(), latest: await deps.gaps.listGivenUp(100) },
      dead_letters: { count, oldest: await deps.listDeadLetters(100) },
      discarded: { count: await deps.archive.countDiscarded(), latest: await deps.archive.listDiscarded(100) },
    }
  })
  addGapRoutes(app, { giveUp: deps.gaps.giveUp, log: deps.log })
  addRebuildRoutes(app, deps.memory)
  addDeadLetterRoutes(app, {
    ...deps.archive,
    count: deps.countDeadLetters,
    list: deps.listDeadLetters,
    replay: deps.replay,
    log: deps.log,
  })
}
