import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Who there is: accounts, their projects, teams and members, and who may do what. */
export const createAccounts: Migration = {
  name: '001-create-accounts',
  async up(db) {
    await sql`create table accounts (
      account_id text primary key,
      name text not null,
      created_at timestamptz not null default now()
    )`.execute(db)
    await sql`create table members (
      member_id text primary key,
      account_id text not null references accounts,
      email text not null,
      first_name text not null default '',
      last_name text not null default '',
      password_hash text,
      account_admin boolean not null default false,
      created_at timestamptz not null default now(),
      unique (member_id, account_id)
    )`.execute(db)
    await sql`create unique index members_email on members (lower(email))`.execute(db)
    await sql`comment on column members.password_hash is 'scrypt$N$r$p$salt$hash; null: cannot sign in with a password'`.execute(
      db,
    )
    await sql`create table projects (
      project_id uuid primary key,
      account_id text not null references accounts,
      name text not null,
      project_key text not null unique,
      version int not null default 1,
      disabled boolean not null default false,
      allowed_models jsonb,
      settings jsonb not null default '{}',
      owner_id text references members,
      created_at timestamptz not null default now(),
      unique (project_id, account_id)
    )`.execute(db)
    await sql`comment on column projects.version is 'Goes up with every change of the document in KV'`.execute(db)
    await sql`comment on column projects.allowed_models is 'provider/model, trailing * allowed; null: every priced model'`.execute(
      db,
    )
    await sql`create table teams (
      team_id text primary key,
      project_id uuid not null references projects,
      name text not null,
      created_at timestamptz not null default now(),
      unique (project_id, team_id)
    )`.execute(db)
    await sql`create unique index teams_name on teams (project_id, lower(name))`.execute(db)
    // Both foreign keys carry the account: a member of one account cannot be given a role in another's project.
    await sql`create table project_members (
      project_id uuid not null,
      account_id text not null,
      member_id text not null,
      role text not null check (role in ('member', 'developer', 'admin')),
      created_at timestamptz not null default now(),
      primary key (project_id, member_id),
      foreign key (project_id, account_id) references projects (project_id, account_id),
      foreign key (member_id, account_id) references members (member_id, account_id)
    )`.execute(db)
    await sql`create index project_members_member on project_members (member_id)`.execute(db)
  },
}
