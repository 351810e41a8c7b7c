import pg from 'pg'
import { StackError } from './stack-error.ts'

/** The services that keep state in PostgreSQL. */
export const databaseServices = ['accounts', 'budget', 'billing', 'analytics'] as const
export type DatabaseService = (typeof databaseServices)[number]

export interface DatabaseOptions {
  /** May create roles and schemas in the database that it names. */
  adminUrl: string
  password: (service: DatabaseService) => string
  /** Tells apart the roles of two installations on one server. */
  rolePrefix?: string
}

/**
 * One role and one schema a service: a role owns its schema and can see no other. Repeats without harm.
 * @returns each service's own URL
 */
export async function provisionDatabases(options: DatabaseOptions): Promise<Record<DatabaseService, string>> {
  const client = new pg.Client({ connectionString: options.adminUrl, connectionTimeoutMillis: 10_000 })
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (cause) {
    throw new StackError(`PostgreSQL at ${withoutPassword(options.adminUrl)} does not answer: ${text(cause)}`, {
      cause,
    })
  }
  const urls = {} as Record<DatabaseService, string>
  try {
    const { rows } = await client.query<{ name: string; version: number }>(
      "select current_database() as name, current_setting('server_version_num')::int as version",
    )
    const [server] = rows
    if (server === undefined || server.version < 150_000)
      throw new StackError(`PostgreSQL at ${withoutPassword(options.adminUrl)} is too old: 15 or newer is needed.`)
    const database = pg.escapeIdentifier(server.name)
    await client.query(`revoke create on schema public from public`)
    for (const service of databaseServices) {
      const name = `${options.rolePrefix ?? ''}${service}`
      const role = pg.escapeIdentifier(name)
      const schema = pg.escapeIdentifier(service)
      const password = options.password(service)
      const { rowCount } = await client.query('select 1 from pg_roles where rolname = $1', [name])
      await client.query(
        `${rowCount === 0 ? 'create' : 'alter'} role ${role} with login nosuperuser nocreatedb nocreaterole password ${pg.escapeLiteral(password)}`,
      )
      // A creator that is no superuser must be a member of the role to give it a schema.
      await client.query(`grant ${role} to current_user`)
      await client.query(`grant connect, temporary on database ${database} to ${role}`)
      if (service !== 'analytics') await provisionWorkingRole(client, name)
      await client.query(`create schema if not exists ${schema} authorization ${role}`)
      const url = new URL(options.adminUrl)
      url.username = name
      url.password = password
      urls[service] = url.href
    }
    await client.query(`revoke connect, temporary on database ${database} from public`)
  } catch (cause) {
    if (cause instanceof StackError) throw cause
    throw new StackError(
      `PostgreSQL at ${withoutPassword(options.adminUrl)} does not let us make a role and a schema for each service: ${text(cause)}. ` +
        'DATABASE_URL must name a user that may create roles and owns its database.',
      { cause },
    )
  } finally {
    await client.end()
  }
  return urls
}

/** Services answer requests under a role that owns none of their tables, so that row-level security binds it. */
async function provisionWorkingRole(client: pg.Client, owner: string): Promise<void> {
  const name = `${owner}_app`
  const role = pg.escapeIdentifier(name)
  const { rowCount } = await client.query('select 1 from pg_roles where rolname = $1', [name])
  await client.query(
    `${rowCount === 0 ? 'create' : 'alter'} role ${role} with nologin nosuperuser nocreatedb nocreaterole`,
  )
  await client.query(`grant ${role} to ${pg.escapeIdentifier(owner)}`)
}

function withoutPassword(url: string): string {
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}:${port || 5432}${pathname}`
}

function text(cause: unknown): string {
  // A refused connection to a name with several addresses is an error of errors without a message.
  if (cause instanceof AggregateError) return text(cause.errors[0])
  return cause instanceof Error ? cause.message || cause.name : String(cause)
}
