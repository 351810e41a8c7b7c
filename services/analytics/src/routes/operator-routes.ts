import { parseSeriesKey } from '@sluice/contracts'
import type { GapRecord, LetterArchive, RebuildStore } from '@sluice/postgres'
import { addDeadLetterRoutes, addGapRoutes, addRebuildRoutes, type Logger, type ReplayOutcome } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import { isRefusedByClickhouse, isRefusedForGood } from '../dead-letter-store.ts'
import { readLine } from '../usage-message.ts'
import { type UsageWriterDeps, writeReplayed } from '../usage-writer.ts'

export interface OperatorRouteDeps extends UsageWriterDeps {
  deadLetters: DeadLetterStore
  archive: LetterArchive
  gaps: GapRecord
  memory: Pick<RebuildStore, 'read' | 'begin'>
  logger: Logger
}

/**
 * Of the operator port: `/completeness` says what of every series has come and what could not be applied; `/dead-letters…`
 * shows it, applies what this version can read, and gives up the rest with a name and a reason; `/rebuild` fills ClickHouse
 * again from the usage log.
 */
export function operatorRoutes(deps: OperatorRouteDeps): (app: FastifyInstance) => void {
  const { deadLetters, archive, gaps } = deps
  return app => {
    app.get('/completeness', async () => {
      const series = await deps.log.listCompleteness()
      const missed = await gaps.leaveOut(series)
      const count = await deadLetters.countDeadLetters()
      return {
        complete: count === 0 && missed.every(one => one.gaps.length === 0),
        series,
        given_up_gaps: { count: await gaps.countGivenUp(), latest: await gaps.listGivenUp(100) },
        dead_letters: { count, oldest: await deadLetters.listDeadLetters(100) },
        discarded: { count: await archive.countDiscarded(), latest: await archive.listDiscarded(100) },
      }
    })
    addGapRoutes(app, { giveUp: gaps.giveUp, log: deps.logger })
    addRebuildRoutes(app, deps.memory)
    addDeadLetterRoutes(app, {
      ...archive,
      count: deadLetters.countDeadLetters,
      list: deadLetters.listDeadLetters,
      replay: id => replay(deps, id),
      log: deps.logger,
    })
  }
}

/** Only lines of a series: a whole message, and a refused call, stay. */
async function replay(deps: OperatorRouteDeps, id: string): Promise<ReplayOutcome> {
  const line = await deps.deadLetters.findLine(id)
  if (!line) return (await deps.archive.find(id)) ? 'still-dead' : 'unknown'
  try {
    await writeReplayed(deps, id, readLine(line.content, { ...parseSeriesKey(line.series), seq: line.seq }))
    return 'applied'
  } catch (cause) {
    if (isRefusedForGood(cause) || isRefusedByClickhouse(cause)) return 'still-dead'
    throw cause
  }
}
