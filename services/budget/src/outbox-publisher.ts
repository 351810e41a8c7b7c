import { type Bus, openBucket, publishEvent } from '@sluice/bus'
import { AuditRecorded, Budget, BudgetWindow, Cutoff, Stop } from '@sluice/contracts'
import type { SendOutboxEntry } from '@sluice/postgres'

/** A trail that takes nothing more, its stream being full, must not hold up what ends calls. */
export const sentApart = [AuditRecorded.type]

/**
 * Sends what was committed to the buckets this service owns, and its changes to the account's trail. What comes twice changes
 * nothing there.
 */
export async function createOutboxPublisher(bus: Bus): Promise<SendOutboxEntry> {
  const budgets = await openBucket(bus, 'budgets', Budget)
  const cutoffs = await openBucket(bus, 'cutoffs', Cutoff)
  const windows = await openBucket(bus, 'budget-windows', BudgetWindow)
  const stops = await openBucket(bus, 'stops', Stop)
  const tellTrail = (key: string, payload: string): Promise<void> => {
    const recorded = AuditRecorded.decode(payload)
    const meta = { id: key, source: '/budget', timeMs: recorded.at_ms }
    return publishEvent(bus, AuditRecorded, ['budget'], recorded, meta)
  }
  return ({ kind, target, key, payload }) => {
    switch (`${kind} ${target}`) {
      case `event ${AuditRecorded.type}`:
        return tellTrail(key, payload)
      case 'kv-put budgets':
        return budgets.put(key, Budget.decode(payload))
      case 'kv-put cutoffs':
        return cutoffs.put(key, Cutoff.decode(payload))
      case 'kv-put stops':
        return stops.put(key, Stop.decode(payload))
      case 'kv-delete budgets':
        return budgets.delete(key)
      case 'kv-delete cutoffs':
        return cutoffs.delete(key)
      case 'kv-delete stops':
        return stops.delete(key)
      case 'kv-delete budget-windows':
        return windows.delete(key)
      default:
        throw new Error(`outbox entry ${kind} ${target} has no place to go`)
    }
  }
}
