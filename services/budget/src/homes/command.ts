import {
  handedLeaseId,
  type LeaseAnswer,
  type LeaseAsk,
  type LeaseHeartbeat,
  type LeaseHello,
  type LeaseReceipt,
  type LeaseReport,
  type LeaseTotals,
} from '@sluice/contracts'

/** A request of a gateway that waits for its home. */
export type Command = { receivedAt: number } & (
  | { kind: 'ask'; message: LeaseAsk; recalled: boolean; answer: (answer: LeaseAnswer) => void }
  | { kind: 'report'; message: LeaseReport; answer: (receipt: LeaseReceipt) => void }
  | { kind: 'hello'; message: LeaseHello; answer: (receipt: LeaseReceipt) => void }
  | { kind: 'heartbeat'; message: LeaseHeartbeat; answer: (receipt: LeaseReceipt) => void }
)
export type AskCommand = Extract<Command, { kind: 'ask' }>

/** How many pools and leases a command names. */
export function weightOf({ kind, message }: Command): number {
  switch (kind) {
    case 'ask':
      return message.items.length
    case 'report':
    case 'hello':
      return message.leases.length
    case 'heartbeat':
      return message.idle.length + (message.whole?.lease_ids.length ?? 0)
  }
}

/** A copy of a budget in one window. */
export interface PoolName {
  budgetId: string
  copy: string
  windowStartMs: number
}

/** What a batch of commands must find loaded. */
export interface Named {
  pools: PoolName[]
  leaseIds: string[]
  /** Leases of these runs that are not closed, from asks in this range. */
  runs: { gatewayId: string; epoch: number; fromSeq: number; belowSeq: number }[]
}

/** A lease, and what of it was handed over. */
function leaseIdsIn({ lease_id: leaseId, handed = [] }: LeaseTotals): string[] {
  return [leaseId, ...handed.map(({ holder }) => handedLeaseId(holder, leaseId))]
}

type Pooled = { budget_id: string; copy: string; window_start_ms: number }

/**
 * Whether there can be such a pool: PostgreSQL keeps half a surrogate pair as something else and a NUL not at all, and a copy may be a
 * name that somebody chose.
 */
export function mayBeThere({ copy }: Pick<Pooled, 'copy'>): boolean {
  return copy.isWellFormed() && !copy.includes('\0')
}

export function namedBy(commands: readonly Command[], leaseIdsOf: (ask: AskCommand['message']) => string[]): Named {
  const named: Named = { pools: [], leaseIds: [], runs: [] }
  const addPool = (pool: Pooled) => {
    const { budget_id: budgetId, copy, window_start_ms: windowStartMs } = pool
    if (mayBeThere(pool)) named.pools.push({ budgetId, copy, windowStartMs })
  }
  for (const { kind, message } of commands) {
    switch (kind) {
      case 'ask':
        message.items.forEach(addPool)
        named.leaseIds.push(...leaseIdsOf(message))
        break
      case 'report':
        message.leases.forEach(addPool)
        named.leaseIds.push(...message.leases.flatMap(leaseIdsIn))
        break
      case 'hello':
        message.leases.forEach(addPool)
        named.leaseIds.push(...message.leases.flatMap(leaseIdsIn))
        if (!message.more)
          named.runs.push({
            gatewayId: message.gateway_id,
            epoch: message.ended_epoch,
            fromSeq: 0,
            belowSeq: Number.MAX_SAFE_INTEGER,
          })
        break
      case 'heartbeat':
        named.leaseIds.push(...message.idle.map(([leaseId]) => leaseId))
        if (!message.whole) break
        // Those that are in it and not closed are found with their run.
        named.runs.push({
          gatewayId: message.gateway_id,
          epoch: message.epoch,
          fromSeq: message.whole.from_seq,
          belowSeq: message.whole.below_seq,
        })
    }
  }
  return named
}
