import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What a key may be limited to beside its models, when it was used, and keys of other systems. */
export const extendApiKeys: Migration = {
  name: '020-extend-api-keys',
  async up(db) {
    await sql`alter table api_keys
      add column ip_ranges jsonb,
      add column last_used_at timestamptz,
      add column kind text not null default 'key' check (kind in ('key', 'foreign', 'system'))`.execute(db)
    await sql`comment on column api_keys.ip_ranges is 'Addresses it may come from, in CIDR notation; null: from everywhere'`.execute(
      db,
    )
    await sql`comment on column api_keys.last_used_at is 'When a gateway has let a call of it in last, as told each minute'`.execute(
      db,
    )
    await sql`comment on column api_keys.kind is 'key: made here and shown once; foreign: of another system, known by its hash; system: signs the tokens that this service mints, shown to nobody'`.execute(
      db,
    )
    await sql`alter table api_key_secrets alter column envelope drop not null`.execute(db)
    await sql`comment on column api_key_secrets.envelope is 'The secret part, sealed for this key and project; null: of a foreign key'`.execute(
      db,
    )
  },
}
