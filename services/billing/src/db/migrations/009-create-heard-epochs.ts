import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What gateways were heard to say of epochs that are not closed: all there is to go by when one is lost with its disk. */
export const createHeardEpochs: Migration = {
  name: '009-create-heard-epochs',
  async up(db) {
    await sql`create table heard_epochs (
      gateway_id text not null,
      epoch bigint not null,
      last jsonb not null default '[]',
      open_attempts int,
      open_nano_usd bigint,
      open_unrated int,
      heard_at timestamptz not null,
      silent_at timestamptz,
      given_up_at timestamptz,
      given_up_by text,
      given_up_reason text,
      remote_address text,
      primary key (gateway_id, epoch)
    )`.execute(db)
    await sql`comment on table heard_epochs is 'Epochs that are not closed; a row goes when its epoch is'`.execute(db)
    await sql`comment on column heard_epochs.last is 'Last number given out in each partition, as heard; []: not told'`.execute(
      db,
    )
    await sql`comment on column heard_epochs.open_attempts is 'Attempts that had no event when it was heard of; null: not told'`.execute(
      db,
    )
    await sql`comment on column heard_epochs.open_nano_usd is 'What these were estimated at, but for open_unrated of them'`.execute(
      db,
    )
    await sql`comment on column heard_epochs.heard_at is 'By the clock of billing; of an epoch that was never heard of: its latest mark'`.execute(
      db,
    )
    await sql`comment on column heard_epochs.silent_at is 'Since when it counts as silent; null: it does not'`.execute(
      db,
    )
    await sql`comment on column heard_epochs.given_up_at is 'When a person said that its journal will not come back'`.execute(
      db,
    )
    // The epochs that are looked at every few seconds, among all that ever were.
    await sql`create index series_marks_open on series_marks (gateway_id, epoch) where closed_at_number is null`.execute(
      db,
    )
  },
}
