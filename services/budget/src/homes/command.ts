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

/** A part of what a run of a gateway has asked for. */
export interface RunPart {
  gatewayId: string
  epoch: number
  fromSeq: number
  belowSeq: number
}

/** What a batch of commands must find loaded. */
export interface Named {
  pools: PoolName[]
  leaseIds: string[]
  /** Leases of these that are not closed. */
  runs: RunPart[]
  /** What of these is open and named by its own list is not loaded. */
  listed: RunPart[]
  /** Leases that gateways have and that nothing is to be done about: whether each has it is looked at. */
  said: SaidLease[]
}

/** A lease that a gateway says it has. */
export interface SaidLease {
  gatewayId: string
  leaseId: string
  /** Of the list that names it, its place in `listed`. Absent: it is only called idle. */
  list?: number
}

export function namingNothing(): Named {
  return { pools: [], leaseIds: [], runs: [], listed: [], said: [] }
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
  const named = namingNothing()
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
      case 'heartbeat': {
        const { gateway_id: gatewayId, epoch, idle, whole } = message
        for (const [leaseId] of idle) named.said.push({ gatewayId, leaseId })
        if (!whole) break
        for (const leaseId of whole.lease_ids) named.said.push({ gatewayId, leaseId, list: named.listed.length })
        named.listed.push({ gatewayId, epoch, fromSeq: whole.from_seq, belowSeq: whole.below_seq })
      }
    }
  }
  return named
}
