import type { Generated } from 'kysely'

/** An insert into ClickHouse: written before it, marked after it. `before` at start: it may or may not have happened. */
export interface InsertIntentsTable {
  stream: string
  first_seq: string
  last_seq: string
  rows: number
  state: 'before' | 'after'
  changed_at: Generated<Date>
}

/** What could not be applied, with its reason. It counts as received. */
export interface DeadLettersTable {
  id: Generated<string>
  stream: string
  stream_seq: string
  /** Line of the message's body, from 0. */
  line: number
  series: string
  seq: string | null
  reason: string
  /** As it came, whatever is in it. */
  content: Buffer
  received_at: Generated<Date>
}

/** Adjustments whose event has not come yet. */
export interface PendingAdjustmentsTable {
  event_id: string
  version: number
  stream_seq: string
  payload: string
}

/** Hours whose rollup is older than their raw rows. `touched` grows with each change. */
export interface DirtyHoursTable {
  project_id: string
  hour: Date
  touched: Generated<string>
}

/** The one event of what several gateways may settle. */
export interface SettlementOwnersTable {
  project_id: string
  settlement_key: string
  series: string
  seq: string
}

/** Up to which message of the stream a series had no gap: a restored database reads again from there. */
export interface SeriesPositionsTable {
  series: string
  stream_seq: string
}

export interface AnalyticsTables {
  insert_intents: InsertIntentsTable
  dead_letters: DeadLettersTable
  pending_adjustments: PendingAdjustmentsTable
  dirty_hours: DirtyHoursTable
  settlement_owners: SettlementOwnersTable
  series_positions: SeriesPositionsTable
}
