import { type Bus, cloudEventHeaders } from '@sluice/bus'
import { BudgetCutoff, BudgetReleased, type Cutoff } from '@sluice/contracts'

/**
 * Pushes changes of cutoffs to every gateway on core NATS, after their commit: the fast way, in one hop. KV `cutoffs`, written
 * through the outbox, is the state: a push that is lost (NATS away, a crash just now) reaches gateways through it.
 */
export function pushCutoffs(bus: Bus, cutoffs: readonly Cutoff[]): void {
  if (cutoffs.length === 0 || !bus.isConnected()) return
  for (const cutoff of cutoffs) {
    const event = cutoff.active ? BudgetCutoff : BudgetReleased
    bus.connection.publish(event.subject(), event.encode(cutoff), {
      headers: cloudEventHeaders({
        id: `${cutoff.cutoff_id}.${cutoff.version}`,
        source: '/budget',
        type: event.type,
        timeMs: cutoff.at_ms,
      }),
    })
  }
}
