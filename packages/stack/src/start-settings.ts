import { join, resolve } from 'node:path'
import { type ServiceName, serviceNames } from '@sluice/contracts'
import { chooseProviders, type ProviderChoice } from './choose-providers.ts'
import { StackError } from './stack-error.ts'

/** A NATS server of the operator's own. */
export interface ExternalNats {
  url: string
  admin?: { user: string; pass: string }
  services: Partial<Record<ServiceName, { user: string; pass: string }>>
}

/** What `npm start` is told by its environment. */
export interface StartSettings {
  home: string
  host: string
  port: number
  databaseUrl?: string
  nats?: ExternalNats
  clickhouseUrl?: string
  providers: ProviderChoice
}

/** Reads the settings of `npm start`. @throws StackError naming the variable that is wrong */
export function readStartSettings(
  env: Record<string, string | undefined>,
  where: { root: string; cwd: string },
): StartSettings {
  const port = readPort(env.SLUICE_PORT)
  const host = env.SLUICE_HOST || '127.0.0.1'
  const settings: StartSettings = {
    // npm runs scripts in the checkout; a relative path means the folder the person stands in.
    home: env.SLUICE_HOME ? resolve(env.INIT_CWD ?? where.cwd, env.SLUICE_HOME) : join(where.root, '.sluice'),
    host,
    port,
    providers: chooseProviders(env, port, host),
  }
  const databaseUrl = readUrl(env, 'DATABASE_URL', ['postgres:', 'postgresql:'])
  if (databaseUrl) settings.databaseUrl = databaseUrl
  const clickhouseUrl = readUrl(env, 'CLICKHOUSE_URL', ['http:', 'https:'])
  if (clickhouseUrl) settings.clickhouseUrl = clickhouseUrl
  const natsUrl = readUrl(env, 'NATS_URL', ['nats:', 'tls:', 'ws:', 'wss:'])
  if (natsUrl) settings.nats = readExternalNats(env, natsUrl)
  return settings
}

function readExternalNats(env: Record<string, string | undefined>, url: string): ExternalNats {
  const nats: ExternalNats = { url, services: {} }
  const admin = readCredential(env, 'NATS_ADMIN') ?? readCredential(env, 'NATS')
  if (admin) nats.admin = admin
  for (const service of serviceNames) {
    const credential = readCredential(env, `NATS_${service.toUpperCase()}`) ?? admin
    if (credential) nats.services[service] = credential
  }
  return nats
}

/** One sentence where an external NATS does not keep the services apart, else nothing. */
export function describeSharedRights({ admin, services }: ExternalNats): string | undefined {
  const shared = serviceNames.filter(service => (services[service] ?? admin)?.user === admin?.user)
  if (shared.length === 0) return undefined
  const who = shared.length === serviceNames.length ? 'every service' : shared.join(', ')
  const as = admin ? `with the administrator's credential (${admin.user})` : 'without a credential'
  return (
    `NATS_URL: ${who} connects ${as} and may do there what the administrator may; ` +
    'to keep services apart, give each NATS_<SERVICE>_USER and NATS_<SERVICE>_PASSWORD.'
  )
}

function readCredential(
  env: Record<string, string | undefined>,
  prefix: string,
): { user: string; pass: string } | undefined {
  const user = env[`${prefix}_USER`]
  return user ? { user, pass: env[`${prefix}_PASSWORD`] ?? '' } : undefined
}

function readPort(text: string | undefined): number {
  if (text === undefined || text === '') return 8080
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new StackError(`SLUICE_PORT is ${text}; give a port from 1 to 65535.`)
  return port
}

function readUrl(
  env: Record<string, string | undefined>,
  name: string,
  protocols: readonly string[],
): string | undefined {
  const text = env[name]
  if (!text) return undefined
  if (!URL.canParse(text) || !protocols.includes(new URL(text).protocol))
    throw new StackError(`${name} is not a URL that begins ${protocols.map(protocol => `${protocol}//`).join(' or ')}.`)
  return text
}
