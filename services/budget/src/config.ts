import { ConfigReader, createSecretBox, readServiceConfig, type SecretBox, type ServiceConfig } from '@sluice/runtime'
import type { MailSettings } from './alerts/send-mail.ts'

export interface BudgetConfig extends ServiceConfig {
  databaseUrl: string
  /** As callers know this installation; undefined: they are told paths alone. */
  publicOrigin: string | undefined
  /** How often ended windows are tidied up. */
  rolloverIntervalMs: number
  /** How long changes of sums are gathered before gateways are told. */
  windowIntervalMs: number
  /** A gateway that is not heard of for so long has its leases turned into unresolved holds. */
  silentMs: number
  /** What is unresolved for so long is given up. */
  unresolvedMs: number
  /** Seals the secrets of webhooks; undefined: there are none here. */
  secretBox: SecretBox | undefined
  /** Webhooks may be on addresses of this network, and unencrypted. */
  allowPrivateUpstreams: boolean
  /** How often it is looked for alerts to be sent. */
  alertPollMs: number
  /** Undefined: no e-mail is sent. */
  mail: MailSettings | undefined
}

/** @throws ConfigError with every problem */
export function readConfig(env: NodeJS.ProcessEnv): BudgetConfig {
  const reader = new ConfigReader(env)
  const config: BudgetConfig = {
    ...readServiceConfig(reader, 'BUDGET', 8082),
    databaseUrl: readDatabaseUrl(reader),
    publicOrigin: reader.optionalOrigin('SLUICE_PUBLIC_URL'),
    rolloverIntervalMs: reader.integer('BUDGET_ROLLOVER_INTERVAL_MS', 5_000, { min: 100 }),
    windowIntervalMs: reader.integer('BUDGET_WINDOW_INTERVAL_MS', 100, { min: 1, max: 10_000 }),
    silentMs: reader.integer('BUDGET_SILENT_MS', 15 * 60_000, { min: 1_000 }),
    unresolvedMs: reader.integer('BUDGET_UNRESOLVED_MS', 24 * 60 * 60_000, { min: 1_000 }),
    secretBox: readSecretBox(reader),
    allowPrivateUpstreams: reader.boolean('SLUICE_ALLOW_PRIVATE_UPSTREAMS'),
    mail: readMail(reader),
    alertPollMs: reader.integer('BUDGET_ALERT_POLL_MS', 500, { min: 10, max: 60_000 }),
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

function readSecretBox(reader: ConfigReader): SecretBox | undefined {
  const key = reader.secret('BUDGET_SECRET_KEY')
  if (key === undefined) return undefined
  try {
    return createSecretBox(key)
  } catch {
    reader.problem('BUDGET_SECRET_KEY must be 32 bytes in base64; make one with: openssl rand -base64 32')
    return undefined
  }
}

function readMail(reader: ConfigReader): MailSettings | undefined {
  const url = reader.secret('SLUICE_SMTP_URL')
  const from = reader.optionalString('SLUICE_MAIL_FROM')
  if (url === undefined && from === undefined) return undefined
  if (url === undefined || from === undefined) {
    reader.problem('SLUICE_SMTP_URL and SLUICE_MAIL_FROM are set together or not at all')
    return undefined
  }
  if (!URL.canParse(url) || !/^smtps?:$/.test(new URL(url).protocol))
    reader.problem('SLUICE_SMTP_URL is no URL that begins with smtp:// or smtps://')
  if (!/^[^\r\n<>]*<?[^\s<>@]+@[^\s<>@]+>?$/.test(from)) reader.problem('SLUICE_MAIL_FROM is no address')
  return { url, from }
}

function readDatabaseUrl(reader: ConfigReader): string {
  const url = reader.secret('BUDGET_DATABASE_URL')
  if (url === undefined) reader.problem('BUDGET_DATABASE_URL is not set')
  else if (!URL.canParse(url)) reader.problem('BUDGET_DATABASE_URL is not a URL')
  return url ?? ''
}
