import { openDatabase, runMigrations } from '@sluice/postgres'
import { createLogger } from '@sluice/runtime'
import { readMigrationConfig } from './config.ts'
import { isolateTenants } from './db/isolate-tenants.ts'
import { databaseSchema, migrations } from './db/migrations/index.ts'
import type { BudgetTables } from './db/schema.ts'

const config = readMigrationConfig(process.env)
const database = openDatabase<BudgetTables>({ url: config.databaseUrl, schema: databaseSchema, maxConnections: 1 })
try {
  const steps = await runMigrations(database.db, databaseSchema, migrations)
  await isolateTenants(database.db)
  createLogger('budget', config.logLevel).info({ steps }, 'migrated')
} finally {
  await database.close()
}
