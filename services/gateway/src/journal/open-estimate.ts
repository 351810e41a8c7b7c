import { killedDraft } from './killed-draft.ts'
import type { CheckpointRecord, DraftRating, ModelPart, OpeningRecord, UnratedDraft } from './open-record.ts'

/** An attempt that is open, and what it was last estimated at. */
export interface EstimatedAttempt {
  readonly record: OpeningRecord
  /** The latest; undefined: nothing was relayed. */
  checkpoint: CheckpointRecord | undefined
  /** Without an amount: it has no price, or its price book was not here. */
  estimate: { nanoUsd: number | undefined; of: CheckpointRecord | undefined; atMs: number } | undefined
}

/** What the attempts that are open would be settled at if their gateway ended now. */
export interface OpenEstimate {
  attempts: number
  nanoUsd: number
  /** How many of them are not in that amount. */
  unrated: number
}

/** @param atMost so many attempts are rated; what was rated before counts as it was */
export interface EstimateOptions {
  rate: (draft: UnratedDraft, parts?: readonly ModelPart[] | undefined) => DraftRating
  nowMs: number
  atMost?: number
}

/** What is older is tried again where there is no amount, or the attempt has gone on. */
const keptMs = 10_000

/**
 * Adds up what is open, as whoever finds the journal of a dead gateway would. Most calls are over before they are ever rated
 * here; a long one is rated now and then.
 */
export function estimateOpen(
  attempts: ReadonlyMap<string, EstimatedAttempt>,
  { rate, nowMs, atMost = 250 }: EstimateOptions,
): OpenEstimate {
  let left = atMost
  for (const attempt of attempts.values()) {
    if (left === 0) break
    if (attempt.estimate) continue
    left--
    attempt.estimate = { nanoUsd: amountOf(attempt, rate), of: attempt.checkpoint, atMs: nowMs }
  }
  const sum: OpenEstimate = { attempts: attempts.size, nanoUsd: 0, unrated: 0 }
  for (const attempt of attempts.values()) {
    const { estimate, checkpoint } = attempt
    const isOld = estimate && nowMs - estimate.atMs >= keptMs
    if (left > 0 && isOld && (estimate.of !== checkpoint || estimate.nanoUsd === undefined)) {
      left--
      attempt.estimate = { nanoUsd: amountOf(attempt, rate), of: checkpoint, atMs: nowMs }
    }
    if (attempt.estimate?.nanoUsd === undefined) sum.unrated++
    else sum.nanoUsd += attempt.estimate.nanoUsd
  }
  return sum
}

/** Undefined where nobody can say. */
function amountOf({ record, checkpoint }: EstimatedAttempt, rate: EstimateOptions['rate']): number | undefined {
  // What a response in the background costs is settled under its id, by whoever has its record.
  if (checkpoint?.background) return 0
  try {
    const { priced, cost_nano_usd } = rate(killedDraft(record, checkpoint), checkpoint?.parts)
    return priced ? cost_nano_usd : undefined
  } catch {
    return undefined
  }
}
