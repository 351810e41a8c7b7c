import {
  createDiscardedLetters,
  createGivenUpGaps,
  createRebuild,
  createSeriesMarks,
  type Migration,
} from '@sluice/postgres'
import { createInsertLog } from './001-create-insert-log.ts'

/** Every step of schema `analytics`, in order. */
export const migrations: readonly Migration[] = [
  createSeriesMarks,
  createInsertLog,
  createDiscardedLetters,
  createRebuild,
  createGivenUpGaps,
]
