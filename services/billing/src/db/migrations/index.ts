import { createDiscardedLetters, createSeriesMarks, type Migration } from '@sluice/postgres'
import { createPriceBooks } from './001-create-price-books.ts'
import { createUsageLog } from './002-create-usage-log.ts'
import { createLedger } from './003-create-ledger.ts'
import { createStreamPosition } from './004-create-stream-position.ts'

export const migrations: readonly Migration[] = [
  createSeriesMarks,
  createPriceBooks,
  createUsageLog,
  createLedger,
  createStreamPosition,
  createDiscardedLetters,
]
