import { ConfigReader, readServiceConfig, type ServiceConfig } from '@sluice/runtime'
import { type ArchiveTarget, parseArchiveTarget } from './archive/archive-storage.ts'

export interface BillingConfig extends ServiceConfig {
  databaseUrl: string
  /** How often the catalogue is looked at for prices that have changed by date. */
  catalogueIntervalMs: number
  /** Where closed days of the usage log go; undefined: they stay in PostgreSQL alone. */
  archive: ArchiveTarget | undefined
  /** How often it is looked for days that are over. */
  archiveIntervalMs: number
  /** After how many days the content of archived days is dropped from PostgreSQL; undefined: never. */
  archiveDropAfterDays: number | undefined
  /** How often the sums of the last days are held against those of analytics and budget. */
  reconcileIntervalMs: number
  /** How often it is looked whether the stream is nearly full. */
  streamCheckIntervalMs: number
  /** For how long nothing may be heard of a gateway that runs: each says so every second. */
  gatewaySilentMs: number
}

export const databaseSchema = 'billing'

/** @throws ConfigError with every problem */
export function readConfig(env: NodeJS.ProcessEnv): BillingConfig {
  const reader = new ConfigReader(env)
  const config = {
    ...readServiceConfig(reader, 'BILLING', 3003),
    databaseUrl: reader.url('BILLING_DATABASE_URL'),
    catalogueIntervalMs: reader.integer('BILLING_CATALOGUE_INTERVAL_MS', 3_600_000, { min: 1000 }),
    archive: readArchive(reader),
    archiveIntervalMs: reader.integer('BILLING_ARCHIVE_INTERVAL_MS', 600_000, { min: 1000 }),
    archiveDropAfterDays:
      reader.optionalString('BILLING_ARCHIVE_DROP_AFTER_DAYS') === undefined
        ? undefined
        : reader.integer('BILLING_ARCHIVE_DROP_AFTER_DAYS', 0, { min: 1, max: 36_500 }),
    reconcileIntervalMs: reader.integer('BILLING_RECONCILE_INTERVAL_MS', 300_000, { min: 1000 }),
    streamCheckIntervalMs: reader.integer('BILLING_STREAM_CHECK_INTERVAL_MS', 30_000, { min: 100 }),
    gatewaySilentMs: reader.integer('BILLING_GATEWAY_SILENT_MS', 30_000, { min: 2_000 }),
  }
  if (config.archiveDropAfterDays !== undefined && config.archive === undefined)
    reader.problem('BILLING_ARCHIVE_DROP_AFTER_DAYS is set and SLUICE_ARCHIVE is not: nothing would be kept')
  reader.check()
  return config
}

function readArchive(reader: ConfigReader): ArchiveTarget | undefined {
  const text = reader.optionalString('SLUICE_ARCHIVE')
  if (text === undefined) return undefined
  const accessKeyId = reader.optionalString('SLUICE_ARCHIVE_ACCESS_KEY_ID')
  const secretAccessKey = reader.secret('SLUICE_ARCHIVE_SECRET_ACCESS_KEY')
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined))
    reader.problem('SLUICE_ARCHIVE_ACCESS_KEY_ID and SLUICE_ARCHIVE_SECRET_ACCESS_KEY are set together or not at all')
  const credentials = accessKeyId && secretAccessKey ? { accessKeyId, secretAccessKey } : undefined
  const target = parseArchiveTarget(text, credentials)
  if (!target) reader.problem('SLUICE_ARCHIVE is neither an absolute folder nor s3://bucket/prefix?endpoint=…&region=…')
  return target
}
