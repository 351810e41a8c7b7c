import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  createDatabase,
  type DatabaseService,
  databaseServices,
  pickEnvironment,
  provisionDatabases,
  readKeptSecrets,
} from '@sluice/stack'
import pg from 'pg'
import { programFile } from './bundled-programs.ts'
import { hashCheaply } from './cheap-password.ts'
import { makeFolder, type TestScope } from './test-folder.ts'
import { testPostgres } from './test-postgres.ts'

const run = promisify(execFile)
const template = 'stack_template'
/** Roles belong to the server: every stack on it has the same ones, and a database of its own. */
const rolePrefix = 'stack_'

/**
 * An installation as it is before its first start: a copy of one that the services' own migrations and bootstrap have
 * made, once a server. Five processes less for each stack.
 * @returns each service's own URL to the copy of the database; the files are in `home`
 */
export async function copyInstallation(
  t: TestScope,
  server: string,
  home: string,
): Promise<Record<DatabaseService, string>> {
  const files = await findTemplate(server)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(home, name), content, { mode: 0o600 })
  const { databasePasswords } = readKeptSecrets(home, {})
  const { url } = await testPostgres(t, { template, shared: true })
  const urls = {} as Record<DatabaseService, string>
  for (const service of databaseServices) {
    const own = new URL(url)
    own.username = `${rolePrefix}${service}`
    own.password = databasePasswords[service]
    urls[service] = own.href
  }
  return urls
}

/**
 * Test files are processes that know nothing of each other: the first makes it, the others wait for it. Its files are kept
 * with it, as the comment of the database.
 */
async function findTemplate(server: string): Promise<Record<string, string>> {
  const client = new pg.Client({ connectionString: server })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(`select pg_advisory_lock(hashtext('${template}'))`)
    const { rows } = await client.query<{ files: string }>(
      `select shobj_description(oid, 'pg_database') as files from pg_database where datname = $1`,
      [template],
    )
    if (rows[0]) return JSON.parse(rows[0].files)
    // Under another name until it is whole: a file that was ended half-way leaves nothing that looks finished.
    const draft = `${template}_draft`
    await client.query(`drop database if exists ${draft} with (force)`)
    const files = await install(await createDatabase(server, draft))
    await client.query(`comment on database ${draft} is ${pg.escapeLiteral(JSON.stringify(files))}`)
    await client.query(`alter database ${draft} with allow_connections false`)
    await client.query(`alter database ${draft} rename to ${template}`)
    return files
  } finally {
    await client.end()
  }
}

/** @returns the files of its home by name */
async function install(adminUrl: string): Promise<Record<string, string>> {
  const home = makeFolder('template')
  try {
    const secrets = readKeptSecrets(home, {})
    const password = (service: DatabaseService) => secrets.databasePasswords[service]
    const urls = await provisionDatabases({ adminUrl, password, rolePrefix })
    await Promise.all(
      databaseServices.map(async service => {
        const prefix = service.toUpperCase()
        const env = {
          ...pickEnvironment(process.env, prefix),
          [`${prefix}_DATABASE_URL`]: urls[service],
          SLUICE_MASTER_KEY_FILE: secrets.masterKeyFile,
          // Asked for, and left alone: embedded ClickHouse is migrated by its service.
          ...(service === 'analytics' ? { ANALYTICS_CHDB_DIR: join(home, 'clickhouse') } : {}),
        }
        await run(process.execPath, [programFile(`services/${service}/src/migrate.ts`)], { env })
        if (service === 'accounts')
          await run(process.execPath, [programFile('services/accounts/src/bootstrap.ts')], {
            env: {
              ...env,
              SLUICE_ADMIN_EMAIL: secrets.adminEmail,
              SLUICE_ADMIN_PASSWORD: secrets.adminPassword,
              SLUICE_BOOTSTRAP_FILE: join(home, 'bootstrap.json'),
            },
          })
      }),
    )
    await signInCheaply(adminUrl, secrets.adminPassword)
    return Object.fromEntries(readdirSync(home).map(name => [name, readFileSync(join(home, name), 'utf8')]))
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

async function signInCheaply(adminUrl: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    await client.query('update accounts.members set password_hash = $1', [hashCheaply(password)])
  } finally {
    await client.end()
  }
}
