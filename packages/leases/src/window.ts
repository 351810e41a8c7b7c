import type { Budget } from '@sluice/contracts'
import { DateTime, IANAZone } from 'luxon'

export type WindowKind = Budget['window']

/** A window of time, start included, end excluded. `total` has no end. */
export interface Window {
  startMs: number
  endMs: number | undefined
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
// No zone is further than this from UTC, and no zone changes its offset twice within it.
const reachMs = 26 * hourMs

/** Whether a budget may name this time zone. */
export function isTimeZone(name: string): boolean {
  return IANAZone.isValidZone(name)
}

/**
 * The calendar-aligned window that holds an instant. The windows of a zone follow one another without gap or overlap, also
 * where clocks change: a day may have 23 or 25 hours, an hour always passes in full (but where a zone moves by half an hour).
 */
export function windowAt(kind: WindowKind, timeZone: string, atMs: number): Window {
  const zone = IANAZone.create(timeZone)
  switch (kind) {
    case 'total':
      return { startMs: 0, endMs: undefined }
    case 'minute':
      return clockWindow(zone, minuteMs, atMs)
    case 'hour':
      return clockWindow(zone, hourMs, atMs)
    default:
      return calendarWindow(zone, kind, atMs)
  }
}

/** Days and longer: the local calendar's periods, each from the first instant that its date is reached. */
function calendarWindow(zone: IANAZone, kind: 'day' | 'week' | 'month' | 'quarter', atMs: number): Window {
  // Local wall time is held as if it were UTC, so that calendar arithmetic meets no change of clocks.
  const local = DateTime.fromMillis(atMs + offsetMs(zone, atMs), { zone: 'utc' })
  let period = local.startOf(kind)
  // Where clocks go back over midnight, the late evening comes twice: the second one belongs to the new day.
  let next = period.plus({ [kind]: 1 })
  while (firstInstantOf(zone, next.toMillis()) <= atMs) {
    period = next
    next = period.plus({ [kind]: 1 })
  }
  return { startMs: firstInstantOf(zone, period.toMillis()), endMs: firstInstantOf(zone, next.toMillis()) }
}

/** Minutes and hours: equal lengths, aligned to the local clock, cut where the clock moves by no whole multiple of them. */
function clockWindow(zone: IANAZone, lengthMs: number, atMs: number): Window {
  const offset = offsetMs(zone, atMs)
  let startMs = atMs - modulo(atMs + offset, lengthMs)
  let endMs = startMs + lengthMs
  if (modulo(offsetMs(zone, startMs) - offset, lengthMs) !== 0) startMs = findTransition(zone, startMs, atMs)
  if (modulo(offsetMs(zone, endMs - 1) - offset, lengthMs) !== 0) endMs = findTransition(zone, atMs, endMs - 1)
  return { startMs, endMs }
}

/** The first instant whose local wall time is at or after `localMs` (wall time as if it were UTC). */
function firstInstantOf(zone: IANAZone, localMs: number): number {
  const before = offsetMs(zone, localMs - reachMs)
  const candidate = localMs - before
  const after = offsetMs(zone, candidate)
  if (after === before) return candidate
  // The clock has moved in between: a wall time that was skipped is reached at the move itself.
  return Math.max(findTransition(zone, localMs - reachMs, candidate), localMs - after)
}

/** The instant in (from, to] at which the offset of `from` ends. */
function findTransition(zone: IANAZone, from: number, to: number): number {
  const offset = offsetMs(zone, from)
  let low = from
  let high = to
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offsetMs(zone, middle) === offset) low = middle
    else high = middle
  }
  return high
}

function offsetMs(zone: IANAZone, atMs: number): number {
  return Math.round(zone.offset(atMs) * minuteMs)
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor
}

/** {@link windowAt} that remembers the last window of each kind and zone: events of one moment share it. */
export function createWindowFinder(): typeof windowAt {
  const last = new Map<string, Window>()
  return (kind, timeZone, atMs) => {
    const key = `${kind} ${timeZone}`
    const known = last.get(key)
    if (known && known.startMs <= atMs && (known.endMs === undefined || atMs < known.endMs)) return known
    const window = windowAt(kind, timeZone, atMs)
    last.set(key, window)
    return window
  }
}
