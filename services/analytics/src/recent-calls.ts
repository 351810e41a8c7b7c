import type { RefusedRow } from './refused-row.ts'
import type { UsageRow } from './usage-row.ts'

/** A call as far as its messages have come. */
export interface CallRecord {
  attempts: Map<string, UsageRow>
  refusals: RefusedRow[]
}

/**
 * The calls of the last messages, in memory: they can be looked up before they are inserted. Bounded by `maxRows`; the
 * calls that came first go first. Filled again by redelivery after a restart, as far as messages were not acknowledged.
 */
export interface RecentCalls {
  noteAttempt: (row: UsageRow) => void
  noteRefusal: (row: RefusedRow) => void
  find: (callId: string) => CallRecord | undefined
  readonly rows: number
}

export function recentCalls(maxRows = 20_000): RecentCalls {
  const calls = new Map<string, CallRecord>()
  let rows = 0

  function callOf(callId: string): CallRecord {
    const found = calls.get(callId)
    if (found) return found
    const made: CallRecord = { attempts: new Map(), refusals: [] }
    calls.set(callId, made)
    return made
  }
  function shrink(): void {
    for (const [callId, call] of calls) {
      if (rows <= maxRows) return
      calls.delete(callId)
      rows -= call.attempts.size + call.refusals.length
    }
  }

  return {
    noteAttempt: row => {
      const { attempts } = callOf(row.call_id)
      const known = attempts.get(row.event_id)
      if (known && known.version >= row.version) return
      if (!known) rows++
      attempts.set(row.event_id, row)
      shrink()
    },
    noteRefusal: row => {
      const { refusals } = callOf(row.call_id)
      if (refusals.some(known => known.stream_seq === row.stream_seq)) return
      refusals.push(row)
      rows++
      shrink()
    },
    find: callId => calls.get(callId),
    get rows() {
      return rows
    },
  }
}
