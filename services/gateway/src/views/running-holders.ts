import type { HandedMoney } from '@sluice/contracts'
import type { BatchJobsView } from './batch-jobs-view.ts'
import type { StoredResponses } from './stored-responses-view.ts'

/**
 * Who has money that outlives its gateway: batches and responses in the background, whichever gateways made them. Of one that has
 * ended and owes its homes the word, what it was given: the last word comes by itself.
 */
export function* runningHolders(
  jobs: Pick<BatchJobsView, 'all'>,
  stored: Pick<StoredResponses, 'underWay'>,
): Iterable<HandedMoney> {
  for (const { job } of jobs.all()) if (job.held && !job.held.told) yield asGiven(job.held)
  for (const [, { held }] of stored.underWay()) if (held) yield asGiven(held)
}

function asGiven({ holder, leases }: HandedMoney): HandedMoney {
  return { holder, leases: leases.map(({ settled: _, ...lease }) => lease) }
}
