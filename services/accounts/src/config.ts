import { ConfigReader, readServiceConfig, type ServiceConfig } from '@sluice/runtime'
import { type LimitSizes, readLimits } from './limits.ts'

export interface AccountsConfig extends ServiceConfig {
  databaseUrl: string
  publicUrl: string
  allowPrivateUpstreams: boolean
  limits: LimitSizes
}

/** Kept apart from the configuration, so that a log of it holds none. */
export interface AccountsSecrets {
  masterKey: string
}

/** @throws ConfigError with every problem */
export function readConfig(env: NodeJS.ProcessEnv): { config: AccountsConfig; secrets: AccountsSecrets } {
  const reader = new ConfigReader(env)
  const config = {
    ...readServiceConfig(reader, 'ACCOUNTS', 8081),
    databaseUrl: reader.url('ACCOUNTS_DATABASE_URL'),
    publicUrl: reader.url('SLUICE_PUBLIC_URL', 'http://127.0.0.1:8080'),
    allowPrivateUpstreams: reader.boolean('SLUICE_ALLOW_PRIVATE_UPSTREAMS'),
    limits: readLimits(reader),
  }
  // The role that the service works under is named after it.
  if (config.databaseUrl !== '' && new URL(config.databaseUrl).username === '')
    reader.problem('ACCOUNTS_DATABASE_URL must name its user: postgres://accounts:…@host/database')
  const secrets = { masterKey: readMasterKey(reader) }
  reader.check()
  return { config, secrets }
}

/** The master key, checked for its length, so that a wrong one is a problem of the configuration. */
export function readMasterKey(reader: ConfigReader): string {
  const masterKey = reader.secret('SLUICE_MASTER_KEY')
  if (masterKey === undefined) reader.problem('SLUICE_MASTER_KEY (or SLUICE_MASTER_KEY_FILE) is not set')
  else if (Buffer.from(masterKey, 'base64url').length !== 32)
    reader.problem('SLUICE_MASTER_KEY is not 32 bytes in base64; make one with: openssl rand -base64 32')
  return masterKey ?? ''
}
