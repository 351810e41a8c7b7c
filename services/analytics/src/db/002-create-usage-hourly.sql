-- Recomputed from usage_raw_v1 for hours that have changed; never added to, so it cannot drift. Every query says FINAL.
create table if not exists usage_hourly_v1 (
  project_id UUID comment 'Project',
  hour DateTime('UTC') comment 'Start of the hour of admission',
  team_id LowCardinality(String) comment 'Team that pays',
  member_id String comment 'Empty: a service credential',
  room String comment 'Empty: no room',
  key_id String comment 'Empty: another kind of credential',
  app LowCardinality(String) comment 'Claimed; empty: not said',
  provider LowCardinality(String) comment 'Whose model and prices',
  model LowCardinality(String) comment 'The served model, else the requested one',
  version UInt64 comment 'Number of the recomputation; the highest counts',
  attempts UInt64 comment 'Attempts admitted in the hour',
  completed UInt64 comment 'Of them, those the provider finished',
  input_tokens UInt64 comment 'Tokens in, cache reads and writes included',
  output_tokens UInt64 comment 'Tokens out, reasoning included',
  quantities Map(LowCardinality(String), UInt64) comment 'Quantity name to sum',
  costs Map(LowCardinality(String), Int64) comment 'Quantity name to nano-USD',
  cost_nano_usd Int64 comment 'nano-USD'
)
engine = ReplacingMergeTree(version)
partition by toYYYYMM(hour)
-- The dimensions of a row are those of its attempts and never change: recomputing an hour replaces each of its rows.
order by (project_id, hour, team_id, member_id, room, key_id, app, provider, model);
