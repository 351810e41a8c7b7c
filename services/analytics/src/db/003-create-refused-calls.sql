-- Calls that were answered with a no before they reached a provider. Never billed. Every query says FINAL.
create table if not exists refused_calls_v1 (
  project_id UUID comment 'Zero: the credential itself was refused',
  call_id UUID comment 'What the client asked',
  stream_seq UInt64 comment 'Number in stream CALLS of the message',
  gateway_id LowCardinality(String) comment 'Gateway that refused',
  refused_at DateTime64(3, 'UTC') comment 'When',
  account_id LowCardinality(String) comment 'Empty: no valid credential',
  team_id LowCardinality(String) comment 'Empty: no valid credential',
  member_id String comment 'Empty: a service credential or none',
  service_account_id String comment 'Empty: none',
  key_id String comment 'Empty: another kind of credential or none',
  room String comment 'Empty: no room',
  participant String comment 'Empty: no participant token',
  credential_kind LowCardinality(String) comment 'Empty: no valid credential',
  app LowCardinality(String) comment 'Claimed; empty: not said',
  session_id String comment 'Claimed; empty: not said',
  agent_id String comment 'Claimed; empty: not said',
  parent_agent_id String comment 'Claimed; empty: not said',
  tags Map(LowCardinality(String), String) comment 'Claimed; empty: none',
  dialect LowCardinality(String) comment 'openai or anthropic',
  endpoint LowCardinality(String) comment 'Row of the endpoint table; empty: none matched',
  requested_model LowCardinality(String) comment 'Empty: the request named none',
  reason LowCardinality(String) comment 'Stable code, such as budget_spent',
  http_status UInt16 comment 'What the client was answered',
  budget String comment 'JSON of the budget or limit that refused; null: another reason',
  count UInt64 comment 'Equal refusals this row stands for'
)
engine = ReplacingMergeTree(stream_seq)
partition by toYYYYMM(refused_at)
order by (project_id, toStartOfHour(refused_at), call_id)
ttl toDateTime(refused_at) + interval 90 day
settings non_replicated_deduplication_window = 1000;
