import type { ClickhouseTarget } from '@sluice/clickhouse'
import { ConfigReader, readServiceConfig, type ServiceConfig } from '@sluice/runtime'

export interface AnalyticsConfig extends ServiceConfig {
  databaseUrl: string
  clickhouse: ClickhouseTarget
  /** Least time between two inserts. */
  insertWindowMs: number
  /** Time between two runs of the rollup job. */
  rollupEveryMs: number
}

/** Reads the environment. @throws ConfigError with every problem */
export function readConfig(env: NodeJS.ProcessEnv): AnalyticsConfig {
  const reader = new ConfigReader(env)
  const config = {
    ...readServiceConfig(reader, 'ANALYTICS', 8084),
    databaseUrl: reader.url('ANALYTICS_DATABASE_URL'),
    clickhouse: readClickhouse(reader),
    insertWindowMs: reader.integer('ANALYTICS_INSERT_WINDOW_MS', 300, { max: 10_000 }),
    rollupEveryMs: reader.integer('ANALYTICS_ROLLUP_MS', 5_000, { min: 10, max: 3_600_000 }),
  }
  reader.check()
  return config
}

function readClickhouse(reader: ConfigReader): ClickhouseTarget {
  const url = reader.optionalUrl('CLICKHOUSE_URL')
  if (url !== undefined) return { url }
  const chdbDir = reader.optionalString('ANALYTICS_CHDB_DIR')
  if (chdbDir === undefined)
    reader.problem('neither CLICKHOUSE_URL (a server) nor ANALYTICS_CHDB_DIR (embedded) is set')
  return { chdbDir: chdbDir ?? '' }
}
