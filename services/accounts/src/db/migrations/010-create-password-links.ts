import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** By which a member without a password, or who has lost it, sets one. */
export const createPasswordLinks: Migration = {
  name: '010-create-password-links',
  async up(db) {
    await sql`create table password_links (
      token_hash text primary key,
      member_id text not null references members,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null
    )`.execute(db)
    await sql`create index password_links_member on password_links (member_id)`.execute(db)
    await sql`comment on column password_links.token_hash is 'SHA-256, hex; the token itself is shown once'`.execute(db)
  },
}
