import type { LeaseHeartbeat } from '@sluice/contracts'
import type { HomeState } from '@sluice/leases'
import type { AskCommand } from './command.ts'
import type { OpenLease } from './home-store.ts'

/** Who has said nothing for three heartbeats is not waited for. */
const silentMs = 3_000
/** A gateway that ended is forgotten. */
const forgottenMs = 60_000

/**
 * What gateways have said of a home's leases that no call holds: in memory alone, for recalls. Lost with its owner, it is
 * taken for unknown, and unknown leases are called back too.
 */
export class IdleMoney {
  readonly #byGateway = new Map<string, { epoch: number; saidAtMs: number; leaseIds: ReadonlySet<string> }>()

  hear({ gateway_id: gatewayId, epoch, idle, whole }: LeaseHeartbeat, nowMs: number): void {
    // Further parts of a whole list say nothing of it.
    if (whole && whole.from_seq > 1) return
    this.#byGateway.set(gatewayId, { epoch, saidAtMs: nowMs, leaseIds: new Set(idle.map(([leaseId]) => leaseId)) })
    for (const [known, { saidAtMs }] of this.#byGateway)
      if (nowMs - saidAtMs > forgottenMs) this.#byGateway.delete(known)
  }

  /** Whether a recall could bring back anything of a lease for this ask. */
  isWorthRecall(lease: OpenLease, { message }: AskCommand, state: HomeState, nowMs: number): boolean {
    // Who asks has used up its own.
    if (lease.gatewayId === message.gateway_id) return false
    const gateway = state.gateways.get(lease.gatewayId)
    if (!gateway || gateway.epoch !== lease.epoch || nowMs - gateway.heardAtMs > silentMs) return false
    const said = this.#byGateway.get(lease.gatewayId)
    if (!said || said.epoch !== lease.epoch || lease.grantedAtMs >= said.saidAtMs) return true
    return said.leaseIds.has(lease.leaseId)
  }
}
