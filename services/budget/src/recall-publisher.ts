import { type Bus, cloudEventHeaders } from '@sluice/bus'
import { LeaseRecall } from '@sluice/contracts'
import { uuidv7 } from 'uuidv7'
import type { OpenLease } from './homes/home-store.ts'
import type { OwnedHome } from './homes/ownership-store.ts'

/** Leases that one message names. */
const mostLeases = 1_000

/** Asks gateways for what no call holds of these leases. One that does not hear it is not waited for long. */
export function publishRecalls(bus: Bus, { home, term }: OwnedHome, leases: readonly OpenLease[]): void {
  if (!bus.isConnected()) return
  const byGateway = new Map<string, string[]>()
  for (const { gatewayId, leaseId } of leases) {
    const named = byGateway.get(gatewayId)
    if (named) named.push(leaseId)
    else byGateway.set(gatewayId, [leaseId])
  }
  for (const [gatewayId, leaseIds] of byGateway)
    bus.connection.publish(
      LeaseRecall.subject(gatewayId),
      LeaseRecall.encode({ home, term, lease_ids: leaseIds.slice(0, mostLeases) }),
      {
        headers: cloudEventHeaders({ id: uuidv7(), source: '/budget', type: LeaseRecall.type, timeMs: Date.now() }),
      },
    )
}
