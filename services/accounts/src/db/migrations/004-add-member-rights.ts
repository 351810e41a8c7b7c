import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** What members hold beside their role, and who of them may come in at all. */
export const addMemberRights: Migration = {
  name: '004-add-member-rights',
  async up(db) {
    await sql`alter table members add column disabled_at timestamptz, add column operator boolean not null default false`.execute(
      db,
    )
    await sql`comment on column members.operator is 'Runs the installation, whatever their account'`.execute(db)
    // Who set the installation up runs it.
    await sql`update members set operator = true where account_admin
      and account_id = (select account_id from accounts order by created_at limit 1)`.execute(db)
    await sql`alter table project_members add column roles text[] not null default '{}'`.execute(db)
    await sql`comment on column project_members.roles is 'Bundles of permissions beside the role; llm_proxy_user is the switch for calls'`.execute(
      db,
    )
    // Every role could call providers before this was a switch of its own.
    await sql`update project_members set roles = '{llm_proxy_user}' where role <> 'admin'`.execute(db)
    await sql`create index api_keys_member on api_keys (member_id) where member_id is not null`.execute(db)
  },
}
