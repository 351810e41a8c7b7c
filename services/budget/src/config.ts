import { ConfigReader, readServiceConfig, type ServiceConfig } from '@sluice/runtime'

export interface BudgetConfig extends ServiceConfig {
  databaseUrl: string
  /** How often ended windows are tidied up. */
  rolloverIntervalMs: number
  /** How long changes of sums are gathered before gateways are told. */
  windowIntervalMs: number
  /** A gateway that is not heard of for so long has its leases turned into unresolved holds. */
  silentMs: number
  /** What is unresolved for so long is given up. */
  unresolvedMs: number
}

/** @throws ConfigError with every problem */
export function readConfig(env: NodeJS.ProcessEnv): BudgetConfig {
  const reader = new ConfigReader(env)
  const config: BudgetConfig = {
    ...readServiceConfig(reader, 'BUDGET', 8082),
    databaseUrl: readDatabaseUrl(reader),
    rolloverIntervalMs: reader.integer('BUDGET_ROLLOVER_INTERVAL_MS', 5_000, { min: 100 }),
    windowIntervalMs: reader.integer('BUDGET_WINDOW_INTERVAL_MS', 100, { min: 1, max: 10_000 }),
    silentMs: reader.integer('BUDGET_SILENT_MS', 15 * 60_000, { min: 1_000 }),
    unresolvedMs: reader.integer('BUDGET_UNRESOLVED_MS', 24 * 60 * 60_000, { min: 1_000 }),
  }
  reader.check()
  return config
}

/** What migrations need, and nothing else. @throws ConfigError */
export function readMigrationConfig(env: NodeJS.ProcessEnv): { databaseUrl: string; logLevel: string } {
  const reader = new ConfigReader(env)
  const databaseUrl = readDatabaseUrl(reader)
  const logLevel = reader.string('SLUICE_LOG_LEVEL', 'info')
  reader.check()
  return { databaseUrl, logLevel }
}

function readDatabaseUrl(reader: ConfigReader): string {
  const url = reader.secret('BUDGET_DATABASE_URL')
  if (url === undefined) reader.problem('BUDGET_DATABASE_URL is not set')
  else if (!URL.canParse(url)) reader.problem('BUDGET_DATABASE_URL is not a URL')
  return url ?? ''
}
