-- What a call held of budgets, and what its budgets made of its limit. Rows from before have neither.
alter table usage_raw_v1
  add column if not exists held_money String comment 'JSON array of [budget, copy, start of its window in ms, held, settled or null]: what it held of hard budgets; empty: nothing' after cost_nano_usd,
  add column if not exists clamped_to UInt64 comment 'Output limit that its budgets could pay; 0: they could pay for all' after held_money,
  add column if not exists clamped_budget_id String comment 'Budget that could pay no more; empty: none, or not known' after clamped_to,
  add column if not exists clamped_copy String comment 'Copy of that budget; empty: none or the shared one' after clamped_budget_id;
alter table refused_calls_v1
  add column if not exists stop_id String comment 'The stop of an admin that refused; empty: another reason' after budget,
  add column if not exists message String comment 'What the client was told; empty: not known' after stop_id;
