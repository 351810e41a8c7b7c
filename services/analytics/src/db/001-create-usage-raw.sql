-- One row an attempt and version: 0 as recorded, above it as adjusted. Every query says FINAL, which keeps the highest.
create table if not exists usage_raw_v1 (
  project_id UUID comment 'Project the call belongs to',
  event_id UUID comment 'Attempt id, fixed at admission',
  version UInt32 comment '0: as recorded; n: as the n-th adjustment left it',
  call_id UUID comment 'What the client asked; several attempts may share it',
  attempt UInt16 comment '1 for the first try of a call',

  gateway_id LowCardinality(String) comment 'Gateway whose series holds the event',
  epoch UInt64 comment 'Run of that gateway',
  partition UInt8 comment 'Partition of the project',
  seq UInt64 comment 'Number in the series (gateway, epoch, partition)',
  stream_seq UInt64 comment 'Number in stream USAGE of the message that brought this version',

  account_id LowCardinality(String) comment 'Account of the project',
  team_id LowCardinality(String) comment 'Team that pays; unassigned where the credential named none',
  member_id String comment 'Pseudonymous member; empty: a service credential',
  service_account_id String comment 'Empty: none',
  key_id String comment 'API key; empty: another kind of credential',
  room String comment 'Empty: no room token',
  participant String comment 'Empty: no participant token',
  credential_kind LowCardinality(String) comment 'key, participant_token or oauth',

  app LowCardinality(String) comment 'Claimed by the client; empty: not said',
  session_id String comment 'Claimed; empty: not said',
  agent_id String comment 'Claimed; empty: not said',
  parent_agent_id String comment 'Claimed; empty: not said',
  tags Map(LowCardinality(String), String) comment 'Claimed; empty: none',

  paid_by LowCardinality(String) comment 'managed, own_credential or seat',
  dialect LowCardinality(String) comment 'openai or anthropic',
  endpoint LowCardinality(String) comment 'Row of the endpoint table, such as chat.completions',
  streamed Bool comment 'Whether the client asked for a stream',
  requested_model LowCardinality(String) comment 'As the client wrote it',
  served_model LowCardinality(String) comment 'As the provider answered; empty: it did not say',
  model LowCardinality(String) comment 'Model of reports: the served one, else the requested one',
  provider LowCardinality(String) comment 'Whose model and prices',
  served_by LowCardinality(String) comment 'Who answered: a provider, the simulator, or a host',
  provider_request_id String comment 'Empty: none sent',
  response_id String comment 'Empty: none sent',
  http_status UInt16 comment 'Of the provider; 0: no answer came',
  status LowCardinality(String) comment 'completed, failed, aborted, cut or killed',
  finish_reason LowCardinality(String) comment 'Empty: none sent',
  error_code LowCardinality(String) comment 'Empty: no error',
  cut_reason LowCardinality(String) comment 'Why we ended it; empty: we did not',
  cut_budget_id String comment 'Budget that ended it; empty: none',
  cut_copy String comment 'Copy of that budget; empty: none or the shared one',

  admitted_at DateTime64(3, 'UTC') comment 'Admission; never changes, so that every version meets in one key and one month',
  finished_at DateTime64(3, 'UTC') comment 'When the attempt was settled',
  time_to_first_chunk_ms Nullable(UInt64) comment 'Milliseconds; null: no chunk came',
  duration_ms UInt64 comment 'Milliseconds from admission to the end',
  overhead_us UInt64 comment 'Microseconds the gateway added before the request left it',

  quantities Map(LowCardinality(String), UInt64) comment 'Quantity name to count; a name that is absent is zero',
  provenance Map(LowCardinality(String), LowCardinality(String)) comment 'Quantity name to measured, estimated, drained or reconciled',
  costs Map(LowCardinality(String), Int64) comment 'Quantity name to nano-USD; sums to cost_nano_usd; unattributed: what no line explains',
  input_tokens UInt64 comment 'Tokens in, cache reads and writes included',
  output_tokens UInt64 comment 'Tokens out, reasoning included',
  modifiers String comment 'JSON object: tier, batch, geography and the like, as served',
  raw_usage String comment 'JSON: the usage object of the provider, untouched; null: it sent none',

  price_book_id LowCardinality(String) comment 'Book the line items are from',
  override_price_book_id LowCardinality(String) comment 'Book of the project, consulted first; empty: none',
  priced Bool comment 'false: a quantity that was used has no rate',
  line_items String comment 'JSON array of priced lines',
  cost_nano_usd Int64 comment 'nano-USD, the sum of the lines',
  settlement_key String comment 'For what several gateways may settle; empty: one alone',
  adjusted_reason String comment 'Why this version differs from the one before; empty: version 0',

  index call_id_index call_id type bloom_filter(0.01) granularity 1
)
engine = ReplacingMergeTree(version)
partition by toYYYYMM(admitted_at)
-- Only what never changes, so that a replay and an adjustment land on the row they replace. Questions are of one project
-- and a span of time: its hours lie together. The event comes last, where it makes the key unique.
order by (project_id, toStartOfHour(admitted_at), event_id)
-- A message is acknowledged once its rows are in: they are on the disk then, also where the power fails.
settings non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;
