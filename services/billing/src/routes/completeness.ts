import type { GapRecord, LetterArchive } from '@sluice/postgres'
import type { FastifyInstance } from 'fastify'
import { judgeCompleteness } from '../completeness.ts'
import type { EpochWatch } from '../consumers/gateway-heartbeat.ts'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import type { UsageStore } from '../usage-store.ts'

/** `GET /completeness`, for operators: "nothing is missing" as a query. What was discarded or given up is shown, and no longer missed. */
export function completeness(
  app: FastifyInstance,
  deps: {
    usage: Pick<UsageStore, 'listCompleteness'>
    epochs: Pick<EpochWatch, 'list'>
    deadLetters: Pick<DeadLetterStore, 'count' | 'list'>
    archive: LetterArchive
    gaps: GapRecord
    silentMs: number
    nowMs: () => number
  },
): void {
  app.get('/completeness', async () => {
    // Before the marks: what is posted meanwhile is then not taken for missing.
    const heard = await deps.epochs.list()
    const series = await deps.usage.listCompleteness()
    const count = await deps.deadLetters.count()
    const { complete, reasons, gaps, silent, given_up, open } = judgeCompleteness({
      series: await deps.gaps.leaveOut(series),
      heard,
      deadLetters: count,
      nowMs: deps.nowMs(),
      silentMs: deps.silentMs,
    })
    return {
      complete,
      reasons,
      dead_letters: { count, oldest: await deps.deadLetters.list(100) },
      discarded: { count: await deps.archive.countDiscarded(), latest: await deps.archive.listDiscarded(100) },
      gaps,
      silent,
      given_up,
      given_up_gaps: { count: await deps.gaps.countGivenUp(), latest: await deps.gaps.listGivenUp(100) },
      open,
      series,
    }
  })
}
