import { openDatabase, runMigrations } from '@sluice/postgres'
import { ConfigReader } from '@sluice/runtime'
import { migrations, schemaName } from './db/migrations/index.ts'
import type { Tables } from './db/schema.ts'

// `node src/migrate.ts`: brings schema `accounts` of ACCOUNTS_DATABASE_URL to this version. A step of its own.
const reader = new ConfigReader(process.env)
const url = reader.url('ACCOUNTS_DATABASE_URL')
reader.check()
const database = openDatabase<Tables>({ url, schema: schemaName, maxConnections: 2 })
try {
  const applied = await runMigrations(database.db, schemaName, migrations)
  console.log(JSON.stringify({ schema: schemaName, applied }))
} finally {
  await database.close()
}
