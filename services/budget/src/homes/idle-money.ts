import type { LeaseHeartbeat } from '@sluice/contracts'
import type { HomeState } from '@sluice/leases'
import type { AskCommand } from './command.ts'
import type { OpenLease } from './home-store.ts'

/** Who has said nothing for three heartbeats is not waited for. */
const silentMs = 3_000
interface SaidIdle {
  epoch: number
  saidAtMs: number
  leaseIds: Set<string>
  /** All that is idle was told once: what is not among it is not idle. */
  isAll: boolean
}

/** A gateway that ended is forgotten. */
const forgottenMs = 60_000

/**
 * What gateways have said of a home's leases that no call holds: in memory alone, for recalls. Lost with its owner, it is
 * taken for unknown, and unknown leases are called back too.
 */
export class IdleMoney {
  readonly #byGateway = new Map<string, SaidIdle>()

  hear({ gateway_id: gatewayId, epoch, idle, busy, whole }: LeaseHeartbeat, nowMs: number): void {
    // Further parts of a whole list say nothing of it.
    if (whole && whole.from_seq > 1) return
    const known = this.#byGateway.get(gatewayId)
    const isChange = busy !== undefined && whole === undefined
    const said: SaidIdle =
      isChange && known?.epoch === epoch ? known : { epoch, saidAtMs: nowMs, leaseIds: new Set(), isAll: !isChange }
    said.saidAtMs = nowMs
    for (const [leaseId] of idle) said.leaseIds.add(leaseId)
    for (const leaseId of busy ?? []) said.leaseIds.delete(leaseId)
    this.#byGateway.set(gatewayId, said)
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
    return said.leaseIds.has(lease.leaseId) || !said.isAll
  }
}
