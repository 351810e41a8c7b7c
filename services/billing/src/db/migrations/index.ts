import { AuditRecorded } from '@sluice/contracts'
import {
  createDiscardedLetters,
  createGivenUpGaps,
  createOutbox,
  createSeriesMarks,
  indexOutboxBeside,
  type Migration,
} from '@sluice/postgres'
import { createPriceBooks } from './001-create-price-books.ts'
import { createUsageLog } from './002-create-usage-log.ts'
import { createLedger } from './003-create-ledger.ts'
import { createStreamPosition } from './004-create-stream-position.ts'
import { createAdjustments } from './005-create-adjustments.ts'
import { createUsageHours } from './006-create-usage-hours.ts'
import { createArchive } from './007-create-archive.ts'
import { addPriceBookOrigin } from './008-add-price-book-origin.ts'
import { createHeardEpochs } from './009-create-heard-epochs.ts'
import { createLateEvents } from './010-create-late-events.ts'
import { createCredits } from './011-create-credits.ts'
import { renumberSeries } from './012-renumber-series.ts'

export const migrations: readonly Migration[] = [
  createSeriesMarks,
  createPriceBooks,
  createUsageLog,
  createLedger,
  createStreamPosition,
  createDiscardedLetters,
  createOutbox,
  createAdjustments,
  createUsageHours,
  createArchive,
  addPriceBookOrigin,
  createHeardEpochs,
  createLateEvents,
  createGivenUpGaps,
  createCredits,
  indexOutboxBeside([AuditRecorded.type]),
  renumberSeries,
]
