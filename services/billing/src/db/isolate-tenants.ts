import { type Isolation, isolateSchema, type Kysely, scopedProject } from '@sluice/postgres'
import { databaseSchema } from '../config.ts'
import type { Tables } from './schema.ts'

const ofProject = `project_id = ${scopedProject}`

type Table =
  | keyof Tables
  | 'outbox'
  | 'migrations'
  | 'series_marks'
  | 'late_events'
  | 'discarded_letters'
  | 'given_up_gaps'

/** What requests may do, under the role that they work under. Posting, the log and jobs are of all projects: the owner's work. */
const tables: Isolation<Table> = {
  // What everybody pays is no secret; a project's own prices are its own, and nobody else's to set.
  price_books: { may: ['select', 'insert', 'update'], rows: `kind = 'catalogue' or ${ofProject}`, writes: ofProject },
  ledger_accounts: { may: ['select'], rows: `kind <> 'provider_cost' and owner = ${scopedProject}::text` },
  ledger_transactions: { may: ['select'], rows: ofProject },
  credits: { may: ['select'], rows: ofProject },
  prepaid_projects: { may: ['select'], rows: ofProject },
  ledger_entries: 'none',
  usage_series: 'none',
  usage_batches: 'none',
  usage_hours: 'none',
  settlement_keys: 'none',
  duplicate_settlements: 'none',
  rating_differences: 'none',
  adjustments: 'none',
  archive_days: 'none',
  heard_epochs: 'none',
  late_events: 'none',
  dead_letters: 'none',
  discarded_letters: 'none',
  series_marks: 'none',
  given_up_gaps: 'none',
  stream_position: 'none',
  outbox: { may: ['insert'] },
  migrations: 'none',
}

/** Puts up the second wall between projects, for what requests do (`isolateSchema`). */
export function isolateTenants(db: Kysely<Tables>): Promise<void> {
  return isolateSchema(db, databaseSchema, tables)
}
