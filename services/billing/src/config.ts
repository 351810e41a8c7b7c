import { ConfigReader, readServiceConfig, type ServiceConfig } from '@sluice/runtime'

export interface BillingConfig extends ServiceConfig {
  databaseUrl: string
  /** How often the catalogue is looked at for prices that have changed by date. */
  catalogueIntervalMs: number
}

export const databaseSchema = 'billing'

/** @throws ConfigError with every problem */
export function readConfig(env: NodeJS.ProcessEnv): BillingConfig {
  const reader = new ConfigReader(env)
  const config = {
    ...readServiceConfig(reader, 'BILLING', 3003),
    databaseUrl: reader.url('BILLING_DATABASE_URL'),
    catalogueIntervalMs: reader.integer('BILLING_CATALOGUE_INTERVAL_MS', 3_600_000, { min: 1000 }),
  }
  reader.check()
  return config
}
