import type { GatewayHeartbeatData } from '@sluice/contracts'
import type { SeriesCompleteness } from '@sluice/postgres'

/** What a gateway said of its running epoch. Null: it does not tell. */
export interface Heartbeat {
  gatewayId: string
  epoch: number
  /** The last number given out in each partition; empty: not told. */
  last: readonly number[]
  openAttempts: number | null
  /** Integer text. */
  openNanoUsd: string | null
  openUnrated: number | null
  heardAtMs: number
}

/** An epoch that is not closed, and what was last heard of it. */
export interface HeardEpoch extends Heartbeat {
  /** Since when it counts as silent. */
  silentAtMs: number | undefined
  /** A person has said that its journal will not come back. */
  givenUp: { by: string; reason: string; atMs: number } | undefined
}

export function heartbeatOf(data: GatewayHeartbeatData, heardAtMs: number): Heartbeat {
  return {
    gatewayId: data.gateway_id,
    epoch: data.epoch,
    last: data.last ?? [],
    openAttempts: data.open_attempts ?? null,
    openNanoUsd: data.open_nano_usd === undefined ? null : String(data.open_nano_usd),
    openUnrated: data.open_unrated ?? null,
    heardAtMs,
  }
}

export function epochKey(of: { gatewayId: string; epoch: number }): string {
  return `${of.gatewayId}.${of.epoch}`
}

/** Numbers of one partition that were given out and not posted. */
export interface UnpostedRange {
  partition: number
  first: number
  last: number
}

/** What an epoch was heard to have numbered beyond what is posted of it. Pure. */
export function unpostedOf(
  heard: Pick<Heartbeat, 'gatewayId' | 'epoch' | 'last'>,
  series: readonly SeriesCompleteness[],
) {
  const posted = new Map<number, number>()
  for (const one of series)
    if (one.gateway_id === heard.gatewayId && one.epoch === heard.epoch) posted.set(one.partition, one.last)
  return heard.last.flatMap((last, partition): UnpostedRange[] => {
    const first = (posted.get(partition) ?? 0) + 1
    return last < first ? [] : [{ partition, first, last }]
  })
}

export function countUnposted(ranges: readonly UnpostedRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)
}
