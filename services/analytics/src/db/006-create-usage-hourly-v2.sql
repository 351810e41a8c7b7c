-- The first table first: a version that still runs and knows it alone cannot take an hour for recomputed any more, so what
-- it inserts from here on stays dirty until one that knows the second table has recomputed it.
drop table if exists usage_hourly_v1;
-- As the first, and who answered: what the simulator answered is told from what was paid for. Every query says FINAL.
create table if not exists usage_hourly_v2 (
  project_id UUID comment 'Project',
  hour DateTime('UTC') comment 'Start of the hour of admission',
  team_id LowCardinality(String) comment 'Team that pays',
  member_id String comment 'Empty: a service credential',
  room String comment 'Empty: no room',
  key_id String comment 'Empty: another kind of credential',
  app LowCardinality(String) comment 'Claimed; empty: not said',
  provider LowCardinality(String) comment 'Whose model and prices',
  model LowCardinality(String) comment 'The served model, else the requested one',
  served_by LowCardinality(String) comment 'Who answered: a provider, the simulator, or a host',
  version UInt64 comment 'Number of the recomputation; the highest counts; 0: made with the table',
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
order by (project_id, hour, team_id, member_id, room, key_id, app, provider, model, served_by);
-- The hours that exist, from their rows. Where it is interrupted and runs again, each row replaces itself.
insert into usage_hourly_v2 (project_id, hour, team_id, member_id, room, key_id, app, provider, model, served_by, version,
  attempts, completed, input_tokens, output_tokens, quantities, costs, cost_nano_usd)
select project_id, toStartOfHour(admitted_at) as hour, team_id, member_id, room, key_id, app, provider, model, served_by, 0,
  count(), countIf(status = 'completed'), sum(input_tokens), sum(output_tokens),
  sumMap(quantities), sumMap(costs), sum(cost_nano_usd)
from usage_raw_v1 final
group by project_id, hour, team_id, member_id, room, key_id, app, provider, model, served_by;
