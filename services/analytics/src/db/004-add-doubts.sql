-- What is odd about an event's numbers, and which of its rates were assumed. Rows from before have neither.
alter table usage_raw_v1
  add column if not exists doubts Array(LowCardinality(String)) comment 'Why the numbers want a look, such as usage_missing; empty: nothing is odd' after raw_usage,
  add column if not exists unpriced_policy LowCardinality(String) comment 'What the project had said of what has no rate; empty: it is left out' after priced,
  add column if not exists assumed Bool comment 'true: the cost holds rates that were assumed' after unpriced_policy;
