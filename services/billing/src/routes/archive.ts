import { errorOf, type Logger } from '@sluice/runtime'
import type { FastifyInstance } from 'fastify'
import { ArchiveError } from '../archive/archive-error.ts'
import { type ArchiverDeps, archiveClosedDays } from '../archive/archiver.ts'
import { verifyArchive } from '../archive/verify-archive.ts'
import { billingErrors } from '../errors.ts'
import { archiveVerified, daysArchived } from '../events.ts'

interface Deps {
  /** Undefined: no archive is configured. */
  archiver: ArchiverDeps | undefined
  logger: Logger
}

/**
 * Of the operator port. `GET /archive`: the days that are archived. `POST /archive`: archives what is over, now.
 * `POST /archive/verify`: reads all of it and names what is not as it was archived; 409 where something is.
 */
export function archive(app: FastifyInstance, deps: Deps): void {
  const configured = (): ArchiverDeps => {
    if (!deps.archiver) throw errorOf(billingErrors.noArchive)
    return deps.archiver
  }

  app.get('/archive', async () => {
    const { storage, days } = configured()
    const known = await days.list()
    return {
      place: storage.place,
      days: known.map(({ document, dropped }) => ({
        day: document.day,
        number: document.number,
        hash: document.hash,
        segments: document.segments.length,
        batches: document.batches,
        events: document.events,
        cost_nano_usd: document.cost_nano_usd,
        adjustments: document.adjustments,
        dropped,
      })),
    }
  })

  app.post('/archive', async () => {
    try {
      const done = await archiveClosedDays(configured())
      if (!done) throw errorOf(billingErrors.archiveBusy)
      daysArchived(deps.logger, done)
      return done
    } catch (error) {
      if (error instanceof ArchiveError) throw errorOf(billingErrors.archiveDamaged, { message: error.message })
      throw error
    }
  })

  app.post('/archive/verify', async (_request, reply) => {
    const report = await verifyArchive(configured(), day => deps.logger.info({ day }, 'day of the archive verified'))
    archiveVerified(deps.logger, report)
    return reply.code(report.intact ? 200 : 409).send(report)
  })
}
