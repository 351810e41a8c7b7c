import { holderOf } from '@sluice/contracts'
import type { BatchBound } from '../bounds/batch-bound.ts'
import type { CallBound } from '../bounds/call-bound.ts'
import type { MatchedBudget } from '../budget-index.ts'
import type { AdmittedCall } from '../call.ts'
import { knownNow, type LeaseDeps, takeMoney } from '../leases/take-money.ts'
import { paidHoldOf } from '../pay-for-call.ts'
import { nameOf, Refusal, type RefusalBudget } from '../refusal.ts'
import type { AuthenticatedCall } from '../request-path.ts'
import type { BatchTerms } from './bound-requests.ts'

/** By which the requests of a batch are bounded. */
export function termsOf({ prices, principal }: Pick<AdmittedCall, 'prices' | 'principal'>): BatchTerms {
  return { prices, assumeDearest: principal.project.unpriced === 'assume_max' }
}

/**
 * Holds all that the requests of a batch can cost, and of a budget for one model what those for that model can: what they have used
 * is settled as their results are, and none of them can be made smaller now. From the creation's end on the money is the batch's own.
 * @param boundOf reads the requests: asked only where some hard budget counts them, and told the first of these
 * @param admitAgain admits what has waited
 * @throws Refusal
 */
export async function payForBatch(
  { leases }: { leases: LeaseDeps },
  call: Pick<AuthenticatedCall, 'response'>,
  admitted: AdmittedCall,
  boundOf: (budget: RefusalBudget) => BatchBound | Promise<BatchBound>,
  admitAgain: () => AdmittedCall,
): Promise<AdmittedCall> {
  const { hard } = admitted.hold
  const [first] = hard
  if (!first) return admitted
  const { eventId, hold } = admitted
  const batch = await boundOf(knownNow(leases, first, Date.now()))
  const boundFor = (matched: MatchedBudget) => batch.within(hold.modelsOf?.(matched))
  for (const matched of hard) requireBounded(leases, matched, boundFor(matched))
  const paying = { attemptId: eventId, budgets: hard, bound: batch.within(), boundFor, isVisible: false }
  const { money } = await takeMoney(leases, paying, Date.now())
  try {
    if (call.response.destroyed) throw new Refusal('invalid_request', 'The client left before its request was sent.')
    const again = admitAgain()
    const paid = paidHoldOf(leases, again.hold, money)
    return Object.assign(again, { eventId, money, hold: paid, holder: holderOf('batch', eventId) })
  } catch (error) {
    money.release()
    throw error
  }
}

/** Nobody sees a batch run: what is not held before it is made, a paced budget can never hold. */
function requireBounded(leases: LeaseDeps, matched: MatchedBudget, { unboundedBy }: CallBound): void {
  if (unboundedBy === undefined) return
  const budget = knownNow(leases, matched, Date.now())
  throw new Refusal(
    'budget_not_bounded',
    `Budget ${nameOf(budget)} is hard: it holds all that a batch can cost before it is made, and nothing bounds what this one can cost: ${unboundedBy}. Set a limit there, or leave it out.`,
    { budget },
  )
}
