import { beginIsolation, grantWorkingRole, requireEveryTable, setPolicy, transact } from '@sluice/postgres'
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
  unread_changes: 'operators',
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
    await beginIsolation(trx, schemaName)
    const role = sql.id(await grantWorkingRole(trx, schemaName))
    await createFunctions(trx)
    await sql`grant select, insert, update, delete on all tables in schema ${sql.id(schemaName)} to ${role}`.execute(
      trx,
    )
    await sql`revoke update, delete, truncate on audit_entries from ${role}`.execute(trx)
    await requireEveryTable(trx, schemaName, Object.keys(belongings))
    for (const [table, belonging] of Object.entries(belongings)) {
      const conditions = conditionsOf(table, belonging)
      if (conditions) await setPolicy(trx, table, conditions.using, conditions.check)
    }
  })
}

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
