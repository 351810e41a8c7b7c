import { openDatabase, runMigrations } from '@sluice/postgres'
import { ConfigReader, withinScope } from '@sluice/runtime'
import { isolateTenants } from './db/isolate-tenants.ts'
import { migrations, schemaName } from './db/migrations/index.ts'
import type { Tables } from './db/schema.ts'

// `node src/migrate.ts`: brings schema `accounts` of ACCOUNTS_DATABASE_URL to this version. A step of its own.
const reader = new ConfigReader(process.env)
const url = reader.url('ACCOUNTS_DATABASE_URL')
reader.check()
const database = openDatabase<Tables>({ url, schema: schemaName, maxConnections: 2, tenants: {} })
try {
  // The owner of a schema whose row-level security is still forced sees nothing unless it says for whom.
  const applied = await withinScope({ system: true }, () => runMigrations(database.db, schemaName, migrations))
  await isolateTenants(database.db)
  console.log(JSON.stringify({ schema: schemaName, applied }))
} finally {
  await database.close()
}
