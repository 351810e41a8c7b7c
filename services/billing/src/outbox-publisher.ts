import { type Bus, publishEvent } from '@sluice/bus'
import { AuditRecorded, BalanceExhausted, BalanceRestored, UsageAdjusted } from '@sluice/contracts'
import type { SendOutboxEntry } from '@sluice/postgres'

/** A trail that takes nothing more, its stream being full, must not hold up corrections and balances. */
export const sentApart = [AuditRecorded.type]

/**
 * Sends what was committed to its stream, in order: corrections, states of balances, and changes for the account's trail. What is sent
 * twice is the same again.
 */
export function createOutboxPublisher(bus: Bus): SendOutboxEntry {
  const source = '/billing'
  return async ({ kind, target, key, payload }) => {
    switch (`${kind} ${target}`) {
      case `event ${UsageAdjusted.type}`: {
        const adjusted = UsageAdjusted.decode(payload)
        const meta = { id: key, source, timeMs: adjusted.adjusted_at_ms }
        return publishEvent(bus, UsageAdjusted, [], adjusted, meta)
      }
      case `event ${BalanceExhausted.type}`:
      case `event ${BalanceRestored.type}`: {
        const event = target === BalanceExhausted.type ? BalanceExhausted : BalanceRestored
        const balance = event.decode(payload)
        return publishEvent(bus, event, [], balance, { id: key, source, timeMs: balance.at_ms })
      }
      case `event ${AuditRecorded.type}`: {
        const recorded = AuditRecorded.decode(payload)
        return publishEvent(bus, AuditRecorded, ['billing'], recorded, { id: key, source, timeMs: recorded.at_ms })
      }
      default:
        throw new Error(`outbox entry ${kind} ${target} has no place to go`)
    }
  }
}
