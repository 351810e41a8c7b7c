import type { BatchJob } from '@sluice/contracts'
import type { KeptBatch } from '../views/batch-jobs-view.ts'
import type { BatchStanding } from './batch-dialect.ts'

/** This run of this gateway, and the longest time that a creation can wait for its answer. */
export interface OwnRun {
  gatewayId: string
  epoch: number
  maxCreateMs: number
}

/** Clocks of providers are not ours. */
const skewMs = 60 * 1000

/** Says whether nobody waits for the answer of a creation any more: it got none, or the run that asked has ended. */
export function isOrphaned(job: BatchJob, own: OwnRun, nowMs: number): boolean {
  const { creator } = job
  if (job.state !== 'creating' || !creator) return false
  if (job.answer_lost === true || nowMs - creator.admitted_at_ms > own.maxCreateMs) return true
  return creator.gateway_id === own.gatewayId && creator.epoch < own.epoch
}

/**
 * The creation whose answer an unrecorded batch is: made in its time, with as many requests, from the same file. Two
 * projects that fit equally are told apart by nobody: such a batch is left to a person.
 * @returns `wait` while a creation that fits may still get its answer
 */
export function chooseCreation(
  creations: readonly KeptBatch[],
  standing: BatchStanding,
  own: OwnRun,
  nowMs: number,
): KeptBatch | 'wait' | 'none' {
  const fitting = creations.filter(({ job }) => fits(job, standing, own))
  if (fitting.length === 0) return 'none'
  const orphaned = fitting.filter(({ job }) => isOrphaned(job, own, nowMs))
  if (orphaned.length < fitting.length) return 'wait'
  const projects = new Set(orphaned.map(({ job }) => job.creator?.identity.project_id))
  if (projects.size > 1) return 'none'
  return orphaned.reduce((first, next) => (admittedAt(next) < admittedAt(first) ? next : first))
}

function fits({ creator }: BatchJob, standing: BatchStanding, own: OwnRun): boolean {
  if (!creator) return false
  const { createdAtMs, requestCount, inputFileId } = standing
  if (createdAtMs !== undefined) {
    const since = createdAtMs - creator.admitted_at_ms
    if (since < -skewMs || since > own.maxCreateMs + skewMs) return false
  }
  if (creator.input_file_id !== undefined) return creator.input_file_id === inputFileId
  return requestCount === undefined || requestCount === creator.request_count
}

function admittedAt({ job }: KeptBatch): number {
  return job.creator?.admitted_at_ms ?? 0
}
