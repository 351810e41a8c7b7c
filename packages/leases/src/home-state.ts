import { type Lease, type LeaseWeight, weightOf } from './lease.ts'
import { type Pool, reweigh } from './pool.ts'

/** A gateway as a home knows it. */
export interface KnownGateway {
  readonly gatewayId: string
  /** The latest run that was heard of: asks of earlier ones are refused. */
  readonly epoch: number
  readonly heardAtMs: number
}

/**
 * What a home knows: of the whole of it, or of as much as one command needs (the pools and leases that it names). Changed by
 * {@link evolve} alone.
 */
export interface HomeState {
  readonly pools: Map<string, Pool>
  readonly leases: Map<string, Lease>
  readonly gateways: Map<string, KnownGateway>
  /** Leases that are not closed and not loaded, since a command only says that they are there: by whom they are held. */
  readonly held: Map<string, string>
}

/** What has happened to a home. */
export type HomeEvent =
  | { type: 'lease-granted'; lease: Lease }
  /** Not granted here, but its gateway's journal names it: this home's database has lost it. */
  | { type: 'lease-restored'; lease: Lease }
  | { type: 'lease-changed'; lease: Lease }
  /** A part of a gateway's lease that outlives its run: what left that one in the event before. */
  | { type: 'lease-handed'; lease: Lease }
  | { type: 'gateway-heard'; gateway: KnownGateway }

const nothing: LeaseWeight = { settled: 0, unresolved: 0, outstanding: 0 }

export function emptyHome(): HomeState {
  return { pools: new Map(), leases: new Map(), gateways: new Map(), held: new Map() }
}

/** Puts an event into effect. A lease's pool follows its weight. */
export function evolve(state: HomeState, event: HomeEvent): void {
  if (event.type === 'gateway-heard') {
    state.gateways.set(event.gateway.gatewayId, event.gateway)
    return
  }
  const { lease } = event
  const before = state.leases.get(lease.leaseId)
  state.leases.set(lease.leaseId, lease)
  const pool = state.pools.get(lease.pool)
  if (!pool) throw new Error(`pool ${lease.pool} of lease ${lease.leaseId} is not loaded`)
  state.pools.set(lease.pool, reweigh(pool, before ? weightOf(before) : nothing, weightOf(lease)))
}
