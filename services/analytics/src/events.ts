import type { Logger } from '@sluice/runtime'
import { counter, histogram } from '@sluice/telemetry'

const rows = counter('sluice_analytics_rows_total', 'Rows inserted into ClickHouse')
const inserts = histogram('sluice_analytics_insert_seconds', 'Time of one insert with its intent and marks', {
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
})
const refused = counter('sluice_analytics_refused_rows_total', 'Rows of refused calls inserted into ClickHouse')
const dead = counter('sluice_analytics_dead_letters_total', 'Events that could not be applied', ['stream'])
const hours = counter('sluice_analytics_rollup_hours_total', 'Hours of projects whose rollup was computed again')

/** Rows went in. */
export function noteInserted(count: number, durationMs: number): void {
  rows.inc(count)
  inserts.observe(durationMs / 1000)
}

export function noteRefused(count: number): void {
  refused.inc(count)
}

/** Something could not be applied and lies in `dead_letters`: to be looked at. */
export function noteDeadLetters(
  log: Logger,
  found: { stream: string; first: number; last: number; deadLetters: number },
): void {
  dead.inc({ stream: found.stream }, found.deadLetters)
  log.error(found, 'events could not be applied')
}

export function noteRollup(count: number): void {
  hours.inc(count)
}
