import type { ColumnType, Generated } from 'kysely'

/** bigint and numeric columns are text when read, so that no sum becomes a float. */
type BigIntColumn = ColumnType<string, bigint | number | string, bigint | number | string>
type JsonColumn<T> = ColumnType<T, string, string>

interface BudgetColumns {
  budget_id: string
  version: number
  name: string
  account_id: string
  /** Null: it spans the projects of its account. */
  project_id: string | null
  scope: JsonColumn<Record<string, string>>
  per: string | null
  unit: string
  limit_amount: BigIntColumn
  window_kind: string
  time_zone: string
  mode: string
  hold: string | null
  on_unknown: JsonColumn<unknown>
  created_at_ms: BigIntColumn
  counts_from_ms: BigIntColumn
  deleted_at_ms: BigIntColumn | null
  seat_team_id: string | null
  except_copies: string[]
  /** Per cents, rising. */
  thresholds: number[]
  forecast_alert: boolean
  quota_of: string | null
}

export interface BudgetTables {
  budgets: BudgetColumns
  budgets_in_force: BudgetColumns & { limit_in_force: BigIntColumn }
  budget_raises: {
    raise_id: string
    budget_id: string
    amount: BigIntColumn
    until_ms: BigIntColumn
    reason: string
    actor_kind: string
    actor_id: string
    created_at_ms: BigIntColumn
    ended_at_ms: BigIntColumn | null
  }
  project_balances: {
    project_id: string
    account_id: string
    version: BigIntColumn
    exhausted: boolean
    at_ms: BigIntColumn
  }
  alert_destinations: {
    destination_id: string
    account_id: string
    project_id: string | null
    budget_id: string | null
    kind: 'webhook' | 'email' | 'member'
    name: string
    url: string | null
    addresses: string[]
    secrets: JsonColumn<unknown>
    member_id: string | null
    events: Generated<string[]>
    enabled: boolean
    created_at_ms: BigIntColumn
    deleted_at_ms: BigIntColumn | null
  }
  alerts: {
    alert_id: string
    account_id: string
    project_id: string | null
    budget_id: string | null
    kind: 'threshold' | 'forecast' | 'request' | 'decision' | 'test'
    document: JsonColumn<Record<string, unknown>>
    at_ms: BigIntColumn
  }
  fired_thresholds: {
    budget_id: string
    copy: string
    window_start_ms: BigIntColumn
    threshold: number
    alert_id: string
    at_ms: BigIntColumn
  }
  alert_deliveries: {
    delivery_id: string
    alert_id: string
    destination_id: string
    state: 'waiting' | 'delivered' | 'given_up' | 'cancelled'
    attempts: number
    next_at_ms: BigIntColumn
    claim: string | null
    claimed_until_ms: BigIntColumn | null
    last_status: number | null
    last_error: string | null
    created_at_ms: BigIntColumn
    ended_at_ms: BigIntColumn | null
  }
  budget_windows: {
    budget_id: string
    copy: string
    window_start_ms: BigIntColumn
    window_end_ms: BigIntColumn | null
    spent: BigIntColumn
    leased_settled: BigIntColumn
    unresolved: BigIntColumn
    outstanding: BigIntColumn
    updated_at_ms: BigIntColumn
    /** Of what is spent and settled, what counts no more. */
    forgiven: BigIntColumn
    begun_at_ms: BigIntColumn | null
  }
  partition_owners: { home: number; owner: string; term: BigIntColumn; expires_at: ColumnType<Date, string, string> }
  budget_instances: { owner: string; expires_at: ColumnType<Date, string, string> }
  leases: {
    home: number
    lease_id: string
    ask_seq: BigIntColumn
    budget_id: string
    copy: string
    window_start_ms: BigIntColumn
    gateway_id: string
    epoch: BigIntColumn
    granted: BigIntColumn
    settled: BigIntColumn
    returned: BigIntColumn
    unresolved: JsonColumn<Record<string, { amount: number; since_ms: number }>>
    version: BigIntColumn
    state: 'open' | 'silent' | 'closed'
    given_up: string[]
    granted_at_ms: BigIntColumn
    changed_at_ms: BigIntColumn
  }
  lease_gateways: { home: number; gateway_id: string; epoch: BigIntColumn; heard_at_ms: BigIntColumn }
  cutoffs: {
    cutoff_id: string
    budget_id: string
    copy: string
    version: number
    active: boolean
    until_ms: BigIntColumn | null
    at_ms: BigIntColumn
    listed: boolean
    document: JsonColumn<unknown>
  }
  spend_facts: {
    event_id: string
    project_id: string
    account_id: string
    team_id: string | null
    member_id: string | null
    service_account_id: string | null
    key_id: string | null
    room: string | null
    participant: string | null
    model: string | null
    provider: string | null
    admitted_at_ms: BigIntColumn
    seat: boolean
    version: number
    nano_usd: BigIntColumn
    tokens: BigIntColumn
    requests: number
    held_budgets: string[]
    unresolved_leases: string[]
    recorded_nano_usd: BigIntColumn
    recorded_tokens: BigIntColumn
    app: string | null
    session_id: string | null
    agent_id: string | null
    tags: JsonColumn<Record<string, string>> | null
  }
  stops: {
    stop_id: string
    account_id: string
    project_id: string
    scope: JsonColumn<Record<string, string>>
    reason: string
    actor_kind: string
    actor_id: string
    actor_from: JsonColumn<{ address: string; userAgent: string | null }> | null
    at_ms: BigIntColumn
    lifted_at_ms: BigIntColumn | null
    lifter_kind: string | null
    lifter_id: string | null
    lifter_from: JsonColumn<{ address: string; userAgent: string | null }> | null
  }
  made_once: {
    caller_id: string
    idempotency_key: string
    account_id: string
    request_hash: string
    made_id: string
    made_at_ms: BigIntColumn
  }
  more_requests: {
    request_id: string
    account_id: string
    project_id: string
    budget_id: string
    budget_project_id: string | null
    copy: string
    requester_kind: string
    requester_id: string
    requester_from: JsonColumn<{ address: string; userAgent: string | null }> | null
    member_id: string | null
    key_name: string | null
    participant: string | null
    room: string | null
    amount: BigIntColumn
    reason: string
    created_at_ms: BigIntColumn
    state: 'open' | 'approved' | 'declined'
    decider_kind: string | null
    decider_id: string | null
    decider_from: JsonColumn<{ address: string; userAgent: string | null }> | null
    decided_at_ms: BigIntColumn | null
    word: string | null
    raise_id: string | null
    granted: BigIntColumn | null
    until_ms: BigIntColumn | null
    told_at_ms: BigIntColumn | null
    decision_told_at_ms: BigIntColumn | null
  }
  settlements: { project_id: string; settlement_key: string; event_id: string; settled_at_ms: BigIntColumn }
  dead_letters: {
    id: Generated<string>
    stream_seq: BigIntColumn
    subject: string
    series: string | null
    first: BigIntColumn | null
    last: BigIntColumn | null
    reason: string
    content: Buffer
    created_at_ms: BigIntColumn
  }
  series_positions: { series: string; stream_seq: BigIntColumn }
  audit_entries: {
    id: Generated<string>
    at_ms: BigIntColumn
    actor_kind: string
    actor_id: string
    project_id: string | null
    /** Null: a destination of alerts was changed. */
    budget_id: string | null
    destination_id: string | null
    action: string
    before: JsonColumn<unknown> | null
    after: JsonColumn<unknown> | null
    from_address: string | null
    user_agent: string | null
  }
}
