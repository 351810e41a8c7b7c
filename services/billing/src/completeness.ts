import type { SeriesCompleteness } from '@sluice/postgres'
import { countUnposted, epochKey, type HeardEpoch, unpostedOf } from './heard-epoch.ts'

/** Why something may be missing. */
export type IncompleteReason = 'dead_letters' | 'gaps' | 'silent_gateways' | 'unheard_gateways'

/** An epoch that is not closed, as operators see it. */
export interface OpenEpoch {
  gateway_id: string
  epoch: number
  heard_at: string
  heard_seconds_ago: number
  /** Events that were numbered when it was last heard of, and are not posted; null: it does not tell its numbers. */
  unposted_events: number | null
}

/** An epoch that is not closed and of which nothing is heard any more: what is known to go if its journal is gone. */
export interface SilentEpoch extends OpenEpoch {
  silent_since: string
  unposted: { partition: number; first: number; last: number }[]
  /** Calls that had no event when it was last heard of: some may have been posted since. Null: it does not tell. */
  open_calls: number | null
  /** What these would have been settled at, integer text. */
  open_nano_usd: string | null
  /** How many of them are not in that amount. */
  open_unrated: number | null
  given_up?: { by: string; reason: string; at: string }
}

export interface Completeness {
  complete: boolean
  reasons: IncompleteReason[]
  /** Of series that have a number nobody has posted. What was given up is left out. */
  gaps: { gateway_id: string; epoch: number; partition: number; gaps: [number, number][] }[]
  silent: SilentEpoch[]
  given_up: SilentEpoch[]
  open: OpenEpoch[]
}

/**
 * What may be missing. An epoch is whole when it is closed and without gaps; one that runs, and is heard of, is behind by
 * what is under way, and that is all. Pure.
 */
export function judgeCompleteness(known: {
  /** With those gaps alone that nobody has given up. */
  series: readonly SeriesCompleteness[]
  heard: readonly HeardEpoch[]
  deadLetters: number
  nowMs: number
  /** For how long nothing may be heard of a gateway that runs. */
  silentMs: number
}): Completeness {
  const { series, nowMs } = known
  const closed = new Set(
    series.filter(one => one.closed).map(one => epochKey({ gatewayId: one.gateway_id, epoch: one.epoch })),
  )
  const unclosed = known.heard.filter(one => !closed.has(epochKey(one)))
  const silent: SilentEpoch[] = []
  const givenUp: SilentEpoch[] = []
  const open: OpenEpoch[] = []
  for (const one of unclosed) {
    if (one.silentAtMs === undefined) open.push(describeOpen(one, series, nowMs))
    else (one.givenUp ? givenUp : silent).push(describeSilent(one, one.silentAtMs, series, nowMs))
  }
  const lost = new Set(givenUp.map(one => epochKey({ gatewayId: one.gateway_id, epoch: one.epoch })))
  const missed = series.filter(one => !lost.has(epochKey({ gatewayId: one.gateway_id, epoch: one.epoch })))
  const gaps = listGaps(missed, silent)
  const reasons: IncompleteReason[] = []
  if (known.deadLetters > 0) reasons.push('dead_letters')
  if (gaps.length > 0) reasons.push('gaps')
  if (silent.length > 0) reasons.push('silent_gateways')
  if (open.some(one => one.heard_seconds_ago * 1_000 > known.silentMs)) reasons.push('unheard_gateways')
  return { complete: reasons.length === 0, reasons, gaps, silent, given_up: givenUp, open }
}

function describeOpen(heard: HeardEpoch, series: readonly SeriesCompleteness[], nowMs: number): OpenEpoch {
  return {
    gateway_id: heard.gatewayId,
    epoch: heard.epoch,
    heard_at: new Date(heard.heardAtMs).toISOString(),
    heard_seconds_ago: Math.max(0, Math.floor((nowMs - heard.heardAtMs) / 1_000)),
    unposted_events: heard.last.length === 0 ? null : countUnposted(unpostedOf(heard, series)),
  }
}

function describeSilent(
  heard: HeardEpoch,
  silentAtMs: number,
  series: readonly SeriesCompleteness[],
  nowMs: number,
): SilentEpoch {
  return {
    ...describeOpen(heard, series, nowMs),
    silent_since: new Date(silentAtMs).toISOString(),
    unposted: unpostedOf(heard, series),
    open_calls: heard.openAttempts,
    open_nano_usd: heard.openNanoUsd,
    open_unrated: heard.openUnrated,
    ...(heard.givenUp && {
      given_up: { by: heard.givenUp.by, reason: heard.givenUp.reason, at: new Date(heard.givenUp.atMs).toISOString() },
    }),
  }
}

/** The gaps of every series, and behind them what silent epochs are known to have numbered. */
function listGaps(series: readonly SeriesCompleteness[], silent: readonly SilentEpoch[]): Completeness['gaps'] {
  const gaps = new Map(
    series.map(({ gateway_id, epoch, partition, gaps: missing }) => [
      `${gateway_id}.${epoch}.${partition}`,
      { gateway_id, epoch, partition, gaps: [...missing] },
    ]),
  )
  for (const { gateway_id, epoch, unposted } of silent) {
    for (const { partition, first, last } of unposted) {
      const key = `${gateway_id}.${epoch}.${partition}`
      const known = gaps.get(key) ?? { gateway_id, epoch, partition, gaps: [] }
      known.gaps.push([first, last])
      gaps.set(key, known)
    }
  }
  return [...gaps.values()].filter(one => one.gaps.length > 0)
}
