import { openDatabase, runMigrations } from '@sluice/postgres'
import { ConfigReader, createLogger } from '@sluice/runtime'
import { databaseSchema } from './config.ts'
import { isolateTenants } from './db/isolate-tenants.ts'
import { migrations } from './db/migrations/index.ts'
import type { Tables } from './db/schema.ts'

const reader = new ConfigReader(process.env)
const url = reader.url('BILLING_DATABASE_URL')
reader.check()
const database = openDatabase<Tables>({ url, schema: databaseSchema, maxConnections: 1 })
try {
  const steps = await runMigrations(database.db, databaseSchema, migrations)
  await isolateTenants(database.db)
  createLogger('billing').info({ steps }, 'migrated')
} finally {
  await database.close()
}
