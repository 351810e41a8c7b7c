import { transact } from '@sluice/postgres'
import { sql } from 'kysely'
import { schemaName } from './migrations/index.ts'
import type { Db, Tables } from './schema.ts'

/**
 * By what a row belongs to somebody. `account`, `project`: a column of its own; `project of account`: both. `member`, `key`:
 * whose row it hangs on. `audit`: read as a row of its project, written as one of its account. `operators`: of the
 * installation. `nobody`: rows of no tenant.
 */
type Belonging = 'account' | 'project' | 'project of account' | 'member' | 'key' | 'audit' | 'operators' | 'nobody'

/** Every table: one that is missing here is an error of types, and one that PostgreSQL has beside them fails the step. */
const belongings: Record<keyof Tables | 'migrations' | 'outbox', Belonging> = {
  accounts: 'account',
  members: 'account',
  projects: 'project of account',
  project_members: 'project of account',
  teams: 'project',
  team_members: 'project',
  team_cost_centres: 'project',
  service_accounts: 'project',
  api_keys: 'project',
  api_key_secrets: 'key',
  integrations: 'project',
  managed_integrations: 'operators',
  rooms: 'project',
  otel_settings: 'project',
  room_members: 'project',
  sessions: 'member',
  password_links: 'member',
  kept_answers: 'account',
  audit_entries: 'audit',
  audit_heads: 'account',
  migrations: 'nobody',
  outbox: 'nobody',
}

const ofAccount = 'is_in_scope_account(account_id)'
const ofProject = 'is_in_scope_project(project_id)'
const ofBoth = `${ofAccount} and (is_system_scope() or scope_project() is null or project_id = scope_project())`

/** What the policy of a table lets be seen and written. */
function conditionsOf(table: string, belonging: Belonging): { using: string; check: string } | undefined {
  const both = (condition: string) => ({ using: condition, check: condition })
  switch (belonging) {
    case 'account':
      return both(ofAccount)
    case 'project':
      return both(ofProject)
    case 'project of account':
      return both(ofBoth)
    case 'member':
      return both(`is_system_scope() or exists (select from members where members.member_id = ${table}.member_id)`)
    case 'key':
      return both(`is_system_scope() or exists (select from api_keys where api_keys.key_id = ${table}.key_id)`)
    case 'audit':
      return { using: ofBoth, check: ofAccount }
    case 'operators':
      return both(`is_system_scope() or coalesce(current_setting('sluice.operator', true), '') = 'on'`)
    case 'nobody':
      return undefined
  }
}

/**
 * The second wall between tenants: row-level security on every table, for the role that the service works under, which owns
 * none of them. Queries name their tenant themselves; one that forgets to sees no other's rows all the same. The owner is not
 * bound: backups, and services of a version before this wall, read everything. Runs after the migrations each time, and
 * repeats without harm.
 * @throws where that role is missing and may not be made, or a table belongs to nobody knows whom
 */
export async function isolateTenants(db: Db): Promise<void> {
  await transact(db, async trx => {
    await sql`select pg_advisory_xact_lock(hashtext('sluice accounts isolation'))`.execute(trx)
    const role = await ensureRole(trx)
    await createFunctions(trx)
    await sql`grant usage on schema ${sql.id(schemaName)} to ${role}`.execute(trx)
    await sql`grant select, insert, update, delete on all tables in schema ${sql.id(schemaName)} to ${role}`.execute(
      trx,
    )
    await sql`revoke update, delete, truncate on audit_entries from ${role}`.execute(trx)
    await requireEveryTable(trx)
    for (const [table, belonging] of Object.entries(belongings)) {
      const conditions = conditionsOf(table, belonging)
      if (!conditions) continue
      await sql`alter table ${sql.table(table)} enable row level security, no force row level security`.execute(trx)
      await sql`drop policy if exists tenants on ${sql.table(table)}`.execute(trx)
      await sql`create policy tenants on ${sql.table(table)}
        using (${sql.raw(conditions.using)}) with check (${sql.raw(conditions.check)})`.execute(trx)
    }
  })
}

/** The role under which the service works, by the one that it signs in as and that owns its tables. */
export function workingRoleOf(loginRole: string): string {
  return `${loginRole}_app`
}

async function ensureRole(trx: Db) {
  const { rows } = await sql<{ login: string }>`select current_user as login`.execute(trx)
  const name = workingRoleOf(rows[0]?.login ?? '')
  const { rows: found } = await sql<{ usable: boolean }>`select pg_has_role(current_user, oid, 'member') as usable
    from pg_roles where rolname = ${name}`.execute(trx)
  const [known] = found
  if (known && !known.usable)
    throw new Error(`role ${name} must be granted to ${rows[0]?.login}: grant ${name} to ${rows[0]?.login}`)
  if (!known) await createRole(trx, name)
  return sql.id(name)
}

async function createRole(trx: Db, name: string): Promise<void> {
  const { rows } = await sql<{ may: boolean }>`select rolsuper or rolcreaterole as may from pg_roles
    where rolname = current_user`.execute(trx)
  if (!rows[0]?.may)
    throw new Error(
      `there is no role ${name}, under which the service works: run the provisioning step again, which makes it`,
    )
  // Roles belong to the server: another database of it may be making the same one.
  await sql`do ${sql.lit(`begin create role ${quoted(name)} nologin; exception when duplicate_object or unique_violation then null; end`)}`.execute(
    trx,
  )
  await sql`grant ${sql.id(name)} to current_user`.execute(trx)
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

async function createFunctions(trx: Db): Promise<void> {
  await sql`create or replace function is_system_scope() returns boolean stable language sql
    as $$ select coalesce(current_setting('sluice.system', true), '') = 'on' $$`.execute(trx)
  await sql`create or replace function scope_project() returns uuid stable language sql
    as $$ select nullif(current_setting('sluice.project', true), '')::uuid $$`.execute(trx)
  await sql`create or replace function is_in_scope_account(account text) returns boolean stable language sql
    as $$ select coalesce(current_setting('sluice.system', true), '') = 'on'
      or account = nullif(current_setting('sluice.account', true), '') $$`.execute(trx)
  await sql`create or replace function is_in_scope_project(project uuid) returns boolean stable language sql
    as $$ select coalesce(current_setting('sluice.system', true), '') = 'on'
      or case when coalesce(current_setting('sluice.project', true), '') <> ''
        then project::text = current_setting('sluice.project', true)
        else exists (select from ${sql.raw(schemaName)}.projects where projects.project_id = project) end $$`.execute(
    trx,
  )
}

async function requireEveryTable(trx: Db): Promise<void> {
  const { rows } = await sql<{ name: string }>`select tablename as name from pg_tables
    where schemaname = ${schemaName}`.execute(trx)
  const unknown = rows.find(({ name }) => !Object.hasOwn(belongings, name))
  if (unknown)
    throw new Error(`table ${unknown.name} does not say whom its rows belong to: add it to isolate-tenants.ts`)
}
