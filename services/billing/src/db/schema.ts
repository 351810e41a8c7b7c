import type { ColumnType, Generated } from 'kysely'
import type { LedgerAccountKind } from '../ledger.ts'

type CreatedAt = ColumnType<Date, Date | undefined, never>
/** PostgreSQL bigint: text when read, bigint or number when written. */
type Bigint = ColumnType<string, bigint | number | string, bigint | number | string>

/** The tables of schema `billing`. What each column means stands in the migrations. */
export interface Tables {
  price_books: {
    price_book_id: string
    kind: 'catalogue' | 'override'
    project_id: string | null
    effective_at: Date
    body: string
    origin: Generated<'catalogue' | 'operator' | 'project'>
    published_by: Generated<string>
    withdrawn_at: Date | null
    created_at: CreatedAt
  }
  usage_series: { series_no: Generated<number>; gateway_id: string; epoch: Bigint; partition: number }
  usage_batches: {
    batch_id: Generated<string>
    series_no: number
    first: Bigint
    last: Bigint
    span: string
    content: Buffer | null
    posted_at: CreatedAt
  }
  settlement_keys: { project_id: string; settlement_key: string; event_id: string }
  dead_letters: {
    dead_letter_id: Generated<string>
    fingerprint: string
    gateway_id: string | null
    epoch: Bigint | null
    partition: number | null
    first: Bigint | null
    last: Bigint | null
    reason: string
    content: Buffer
    received_at: CreatedAt
  }
  rating_differences: {
    event_id: string
    project_id: string
    price_book_id: string
    override_price_book_id: string | null
    reason: 'unknown_price_book' | 'different_cost' | 'lines_do_not_add_up'
    stamped_nano_usd: Bigint
    recomputed_nano_usd: Bigint | null
    found_at: CreatedAt
  }
  heard_epochs: {
    gateway_id: string
    epoch: Bigint
    /** jsonb */
    last: ColumnType<number[], string, string>
    open_attempts: number | null
    open_nano_usd: Bigint | null
    open_unrated: number | null
    heard_at: Date
    silent_at: Date | null
    given_up_at: Date | null
    given_up_by: string | null
    given_up_reason: string | null
    remote_address: string | null
  }
  stream_position: { only_row: Generated<boolean>; stream_seq: Bigint }
  ledger_accounts: {
    ledger_account: Generated<string>
    kind: LedgerAccountKind
    /** Project id, or provider; empty for what the installation has once. */
    owner: string
    balance_nano_usd: Bigint
  }
  ledger_transactions: {
    transaction_id: Generated<string>
    /** Null: a credit. */
    batch_id: string | null
    project_id: string
    account_id: string
    kind: 'usage' | 'adjustment' | 'credit'
    adjusts: string | null
    event_count: number
    cost_nano_usd: Bigint
    charge_nano_usd: Bigint
    reference: Generated<string>
    posted_at: CreatedAt
  }
  credits: {
    transaction_id: string
    project_id: string
    account_id: string
    amount_nano_usd: Bigint
    reason: string
    actor: string
    from_address: string
    idempotency_key: string | null
    request_hash: string
    posted_at: CreatedAt
  }
  prepaid_projects: {
    project_id: string
    account_id: string
    prepaid: boolean
    exhausted: boolean
    version: Bigint
    changed_by: string
    changed_at: ColumnType<Date, Date | undefined, Date>
  }
  archive_days: {
    /** Written as `YYYY-MM-DD`; read as text by `to_char`. */
    day: string
    number: number
    hash: string
    document: string
    archived_at: CreatedAt
    dropped_at: Date | null
  }
  adjustments: {
    seq: Bigint
    event_id: string
    version: number
    project_id: string
    transaction_id: string
    actor: string
    reason: string
    payload: string
    posted_at: CreatedAt
  }
  usage_hours: {
    hour: Date
    project_id: string
    events: Bigint
    cost_nano_usd: Bigint
    seat_cost_nano_usd: Bigint
  }
  duplicate_settlements: { batch_id: string; seq: Bigint; event_id: string }
  ledger_entries: {
    transaction_id: string
    ledger_account: string
    amount_nano_usd: Bigint
  }
}
