import { fileURLToPath } from 'node:url'
import { openClickhouse, runClickhouseMigrations } from '@sluice/clickhouse'
import { openDatabase, runMigrations } from '@sluice/postgres'
import { readOrEnd } from '@sluice/runtime'
import { readConfig } from './config.ts'
import { migrations } from './db/migrations/index.ts'
import type { AnalyticsTables } from './db/schema.ts'

/** The folder of ClickHouse's numbered steps. */
export const clickhouseSteps = fileURLToPath(new URL('./db', import.meta.url))

/** Brings schema `analytics` to this version. @returns the steps that ran */
export async function migrateDatabase(url: string): Promise<string[]> {
  const database = openDatabase<AnalyticsTables>({ url, schema: 'analytics', maxConnections: 1 })
  try {
    return await runMigrations(database.db, 'analytics', migrations)
  } finally {
    await database.close()
  }
}

// A server is migrated here. Embedded data belongs to one process at a time: the service migrates it as it starts.
if (import.meta.main) {
  const config = readOrEnd(readConfig, process.env)
  const done = await migrateDatabase(config.databaseUrl)
  if ('url' in config.clickhouse) {
    const clickhouse = await openClickhouse(config.clickhouse)
    try {
      done.push(...(await runClickhouseMigrations(clickhouse.writer, clickhouseSteps)))
    } finally {
      await clickhouse.close()
    }
  }
  console.log(JSON.stringify({ service: 'analytics', migrations: done }))
}
