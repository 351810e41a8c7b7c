import type { AnalyticsRow, BillLine, LedgerTotal, LoggedEvent } from './accounts-of-a-run.ts'
import type { ClientCall } from './load-client.ts'
import type { Outcome } from './scenario.ts'

/** Four independent views of the same calls. */
export interface Views {
  calls: readonly ClientCall[]
  events: readonly LoggedEvent[]
  total: LedgerTotal
  rows: readonly AnalyticsRow[]
  bill: readonly BillLine[]
}

export interface Sums {
  log: bigint
  bill: bigint
}

/** What the views say of each other. */
export interface Comparison {
  /** Ids of calls whose bytes reached a client and that no event speaks of. */
  lost: string[]
  /** Calls on the provider's bill beyond those that any event can stand for. */
  unbilled: number
  /** Events that are in the usage log twice, or speak of the same attempt or provider call as another. */
  doubled: string[]
  /** Events that the log has and ClickHouse has not, or the other way, or with another cost. */
  differsInAnalytics: string[]
  /** Ledger minus the sum of the log, in nano-USD. */
  ledgerDifference: bigint
  /** Completed calls whose cost is not that of the provider's bill. */
  wrongCost: string[]
  /** Answers that a client read to their end and whose event is none of a finished call. */
  inexact: string[]
  /** What the log has and what the bill has, in nano-USD. */
  sums: {
    all: Sums
    /** Calls whose provider ended them and whose event says so. */
    finished: Sums
    /** Calls of which a part had come: their event names the provider's call, and counts what is known of it. */
    cutOff: Sums
    /** Calls of which nothing had come: the provider may have worked on them, and told nobody. */
    unanswered: Sums
  }
}

/** Holds the client's log, billing, analytics and the provider's bill against each other. */
export function compareViews(views: Views): Comparison {
  const { calls, events, rows, bill } = views
  const known = new Set(events.map(event => event.callId))
  const answered = calls.flatMap(call => (call.callId !== undefined && call.status === 200 ? [call.callId] : []))
  const billed = new Map(bill.map(line => [line.id, line]))
  const named = new Set(events.flatMap(event => event.providerRequestId ?? []))
  // A gateway killed before the provider's answer knows no id of it: such an event stands for one line of the bill.
  const nameless = events.filter(event => event.providerRequestId === undefined).length
  const withoutEvent = bill.filter(line => !named.has(line.id)).length
  const costs = new Map(rows.map(row => [row.eventId, row.costNanoUsd]))
  const logged = new Set(events.map(event => event.eventId))
  const finished = new Set(events.filter(event => event.status === 'completed').map(event => event.callId))
  const finishedLines = new Set(
    events.flatMap(event => (event.status === 'completed' ? (event.providerRequestId ?? []) : [])),
  )
  const sums = (
    ofEvents: (event: LoggedEvent) => boolean,
    ofLines: (line: BillLine) => boolean,
  ): { log: bigint; bill: bigint } => ({ log: sum(events.filter(ofEvents)), bill: sum(bill.filter(ofLines)) })
  return {
    lost: [...new Set(answered)].filter(id => !known.has(id)),
    unbilled: Math.max(0, withoutEvent - nameless),
    doubled: [
      ...repeated(events.map(event => event.eventId)),
      ...repeated(events.map(event => `${event.callId} attempt ${event.attempt}`)),
      ...repeated(events.flatMap(event => event.providerRequestId ?? [])),
      ...repeated(rows.map(row => row.eventId)),
    ],
    differsInAnalytics: [
      ...events.filter(event => costs.get(event.eventId) !== event.costNanoUsd).map(event => event.eventId),
      ...rows.filter(row => !logged.has(row.eventId)).map(row => row.eventId),
    ],
    ledgerDifference: views.total.costNanoUsd - sum(events),
    wrongCost: events
      .filter(event => {
        const line = event.providerRequestId === undefined ? undefined : billed.get(event.providerRequestId)
        return event.status === 'completed' && line?.ended === 'completed' && line.costNanoUsd !== event.costNanoUsd
      })
      .map(event => event.eventId),
    inexact: calls.flatMap(call =>
      call.ended === 'whole' && call.callId !== undefined && !finished.has(call.callId) ? [call.callId] : [],
    ),
    sums: {
      all: sums(
        () => true,
        () => true,
      ),
      finished: sums(
        event => event.status === 'completed',
        line => finishedLines.has(line.id),
      ),
      cutOff: sums(
        event => event.status !== 'completed' && event.providerRequestId !== undefined,
        line => named.has(line.id) && !finishedLines.has(line.id),
      ),
      unanswered: sums(
        event => event.status !== 'completed' && event.providerRequestId === undefined,
        line => !named.has(line.id),
      ),
    },
  }
}

function sum(values: readonly { costNanoUsd: number }[]): bigint {
  return values.reduce((total, value) => total + BigInt(value.costNanoUsd), 0n)
}

function repeated(values: readonly string[]): string[] {
  const seen = new Set<string>()
  return values.filter(value => seen.size === seen.add(value).size)
}

function asShare({ log, bill }: Sums): string {
  const perMille = bill === 0n ? undefined : Number((log * 10_000n) / bill)
  return `${perMille === undefined ? '–' : `${(perMille / 100).toFixed(2)} %`} (${log} of ${bill} nano-USD)`
}

/** The comparison as promises and figures. */
export function judge(comparison: Comparison, views: Views): Outcome {
  const none = (promise: string, found: readonly string[]) => ({
    promise,
    kept: found.length === 0,
    found: `${found.length}${found.length > 0 ? ` (${found.slice(0, 3).join(', ')}…)` : ''}`,
  })
  const broken = views.calls.filter(call => call.ended === 'broken')
  return {
    figures: {
      calls: views.calls.length,
      'answered whole': views.calls.filter(call => call.ended === 'whole').length,
      'cut off in the middle': broken.filter(call => call.callId !== undefined).length,
      'without an answer': broken.filter(call => call.callId === undefined).length,
      'events in the usage log': views.events.length,
      'recovered from the journal': views.events.filter(event => event.status === 'killed').length,
      "lines on the provider's bill": views.bill.length,
      'ledger, nano-USD': String(views.total.costNanoUsd),
      'of the bill on record': asShare(comparison.sums.all),
      '  calls that ended': asShare(comparison.sums.finished),
      '  cut off, counted to the last checkpoint': asShare(comparison.sums.cutOff),
      '  nothing had come, counted by their input': asShare(comparison.sums.unanswered),
    },
    kept: [
      none('calls lost', comparison.lost),
      {
        promise: 'provider calls without an event',
        kept: comparison.unbilled === 0,
        found: String(comparison.unbilled),
      },
      none('events doubled', comparison.doubled),
      none('events that differ in ClickHouse', comparison.differsInAnalytics),
      none('answers read to their end that are on record as something else', comparison.inexact),
      none('completed calls with another cost than the bill', comparison.wrongCost),
      {
        promise: 'ledger minus the sum of events, nano-USD',
        kept: comparison.ledgerDifference === 0n && views.total.events === views.events.length,
        found: `${comparison.ledgerDifference} (${views.total.events} of ${views.events.length} events)`,
      },
    ],
  }
}
