import { Refusal } from './refusal.ts'

/** What may keep all new calls out. */
export interface AdmissionGate {
  /** The refusal that new calls get now; undefined: they may come. */
  closedFor: (nowMs: number) => Refusal | undefined
  /** This process is about to shut down: it is not ready, so that the load balancer sends calls elsewhere, and still takes those that come. */
  leave: () => void
  readonly isLeaving: boolean
  /** From now on calls are refused, so that the load balancer's next try goes elsewhere. */
  shutDown: () => void
}

/** Calls that come within it share a look at the views: it is little beside the age that they may have. */
const lookAgainMs = 20

/**
 * Closes when this process is shutting down and when the views are older than `maxViewAgeMs`: then nobody knows any more
 * which keys are revoked and which budgets are spent.
 */
export function createAdmissionGate(options: { freshAtMs: () => number; maxViewAgeMs: number }): AdmissionGate {
  let leaving = false
  let shuttingDown = false
  /** The views were young enough, and are looked at again then. */
  let lookedAtMs = Number.NEGATIVE_INFINITY
  return {
    closedFor(nowMs) {
      if (shuttingDown)
        return new Refusal('shutting_down', 'This gateway is shutting down. Try again: another one will answer.', {
          retryAfterS: 1,
        })
      if (nowMs >= lookedAtMs && nowMs < lookedAtMs + lookAgainMs) return undefined
      if (nowMs - options.freshAtMs() > options.maxViewAgeMs) {
        return new Refusal(
          'view_stale',
          'This gateway has been cut off from its settings for too long to trust them. Try again later, or ask the operator.',
          { retryAfterS: 5 },
        )
      }
      lookedAtMs = nowMs
      return undefined
    },
    leave: () => {
      leaving = true
    },
    get isLeaving() {
      return leaving
    },
    shutDown: () => {
      leaving = true
      shuttingDown = true
    },
  }
}
