import { type Kysely, sql, type Transaction } from 'kysely'
import { transact } from './database.ts'

type Right = 'select' | 'insert' | 'update' | 'delete'

/** What the working role may do with a table, and with which of its rows. */
export interface TableAccess {
  may: readonly Right[]
  /** SQL: the rows that may be seen and changed. Absent: they are no tenant's. */
  rows?: string
  /** SQL: what may be written. Absent: the same. */
  writes?: string
  /** It is a view: of what it reads, it shows what who asks may see. */
  view?: true
}

/** Of every table and view: `none` where the working role has no business. */
export type Isolation<Table extends string = string> = Readonly<Record<Table, TableAccess | 'none'>>

/** SQL: the project that work is done for; null: none is said. */
export const scopedProject = `nullif(current_setting('sluice.project', true), '')::uuid`

/** SQL: the account that work is done for; null: none is said. */
export const scopedAccount = `nullif(current_setting('sluice.account', true), '')`

/** The role under which requests are served, by the one that signs in and owns the tables. */
export function workingRoleOf(loginRole: string): string {
  return `${loginRole}_app`
}

/**
 * The second wall between tenants: row-level security on the tables of a schema, for the working role, which owns none of
 * them. Queries name their tenant themselves; one that forgets to sees no other's rows all the same. The owner is not bound:
 * it does what is of all tenants, and backups read everything. Runs after the migrations each time, and repeats without harm.
 * @throws where that role is missing and may not be made, or a table does not say whom its rows belong to
 */
export async function isolateSchema<Tables>(db: Kysely<Tables>, schema: string, tables: Isolation): Promise<void> {
  await transact(db, async trx => {
    await beginIsolation(trx, schema)
    const role = sql.id(await grantWorkingRole(trx, schema))
    await requireEveryTable(trx, schema, Object.keys(tables))
    await sql`revoke all on all tables in schema ${sql.id(schema)} from ${role}`.execute(trx)
    for (const [table, access] of Object.entries(tables)) {
      if (access === 'none') continue
      // A view reads with its owner's rights unless it is told to read with those of who asks.
      if (access.view) await sql`alter view ${sql.table(table)} set (security_invoker = true)`.execute(trx)
      await sql`grant ${sql.raw(access.may.join(', '))} on ${sql.table(table)} to ${role}`.execute(trx)
      if (access.rows !== undefined) await setPolicy(trx, table, access.rows, access.writes ?? access.rows)
    }
  })
}

/** One isolation of a schema at a time, until the transaction ends. */
export async function beginIsolation<Tables>(trx: Transaction<Tables>, schema: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext(${`sluice ${schema} isolation`}))`.execute(trx)
}

/** Puts the policy of a table in the place of the one it had. Both conditions are SQL. */
export async function setPolicy<Tables>(
  trx: Transaction<Tables>,
  table: string,
  rows: string,
  writes: string,
): Promise<void> {
  await sql`alter table ${sql.table(table)} enable row level security, no force row level security`.execute(trx)
  await sql`drop policy if exists tenants on ${sql.table(table)}`.execute(trx)
  await sql`create policy tenants on ${sql.table(table)}
    using (${sql.raw(rows)}) with check (${sql.raw(writes)})`.execute(trx)
}

/**
 * Makes the working role where it is missing and lets it into a schema.
 * @returns its name
 * @throws where it is missing and may not be made, or is not granted to us
 */
export async function grantWorkingRole<Tables>(trx: Transaction<Tables>, schema: string): Promise<string> {
  const { rows } = await sql<{ login: string }>`select current_user as login`.execute(trx)
  const name = workingRoleOf(rows[0]?.login ?? '')
  const { rows: found } = await sql<{ usable: boolean }>`select pg_has_role(current_user, oid, 'member') as usable
    from pg_roles where rolname = ${name}`.execute(trx)
  const [known] = found
  if (known && !known.usable)
    throw new Error(`role ${name} must be granted to ${rows[0]?.login}: grant ${name} to ${rows[0]?.login}`)
  if (!known) await createRole(trx, name)
  await sql`grant usage on schema ${sql.id(schema)} to ${sql.id(name)}`.execute(trx)
  return name
}

async function createRole<Tables>(trx: Transaction<Tables>, name: string): Promise<void> {
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

/** @throws where PostgreSQL has a table of the schema that is not among the known ones */
export async function requireEveryTable<Tables>(
  trx: Transaction<Tables>,
  schema: string,
  known: readonly string[],
): Promise<void> {
  const { rows } = await sql<{ name: string }>`select tablename as name from pg_tables
    where schemaname = ${schema}`.execute(trx)
  const unknown = rows.find(({ name }) => !known.includes(name))
  if (unknown)
    throw new Error(`table ${unknown.name} does not say whom its rows belong to: add it to isolate-tenants.ts`)
}
