import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { type ServiceName, serviceNames } from '@sluice/contracts'
import { type Bootstrap, parseBootstrap, readBootstrap } from './bootstrap-line.ts'
import type { ManagedProvider } from './choose-providers.ts'
import { createDatabase } from './create-database.ts'
import { freePort } from './free-port.ts'
import { createStoreKeeper } from './keep-store.ts'
import { readKeptSecrets } from './kept-files.ts'
import { writeOperators } from './operators.ts'
import { provisionBus } from './provision-bus.ts'
import { type DatabaseService, databaseServices, provisionDatabases } from './provision-databases.ts'
import { planServices, planSimulator, type ServicePlan } from './service-plan.ts'
import { runServiceProgram, type ServiceProcess, startService } from './service-process.ts'
import { StackError } from './stack-error.ts'
import { type RunningNats, startNats } from './start-nats.ts'
import { type RunningPostgres, startPostgres } from './start-postgres.ts'
import type { ExternalNats } from './start-settings.ts'

export interface StackOptions {
  /** The checkout. */
  root: string
  /** Where everything is kept; exists and is held by the caller. */
  home: string
  env: Record<string, string | undefined>
  /** Where the public origin listens. */
  host: string
  port: number
  /** Replace an embedded part by a server. */
  databaseUrl?: string
  nats?: ExternalNats
  clickhouseUrl?: string
  /** Real providers; what is missing the simulator answers. */
  providers: { openai?: ManagedProvider; anthropic?: ManagedProvider }
  /** false: stores do not wait for the disk, and what ends by itself stays ended. For tests. */
  lasting: boolean
  /** Whether stores wait for the disk; default: as `lasting`. What a test kills must, or it forgets what it has committed. */
  durable?: boolean
  /** Whether gateways put their engine's code on large pages, which takes a tenth of a second of CPU each time one starts. Default: true. */
  largePages?: boolean
  /** Where the services' programs lie bundled; they run from there. Default: from their sources. */
  bundles?: string
  /** Default: all of them. */
  services?: readonly ServiceName[]
  /**
   * What the migrations and the bootstrap of this version have made before, its files in `home`: none of them runs. For
   * tests.
   */
  installed?: { databaseUrls: Readonly<Record<DatabaseService, string>> }
  /** Aborted: the start is given up and what has begun is ended. */
  signal?: AbortSignal
  log: (line: string) => void
}

/** A whole Sluice on this machine. */
export interface RunningStack {
  /** The public origin. */
  readonly url: string
  readonly bootstrap: Bootstrap
  readonly admin: { email: string; password: string }
  readonly services: Readonly<Record<ServiceName, ServiceProcess>>
  /** Absent where real providers answer everything. */
  readonly simulator: ServiceProcess | undefined
  /** Absent where an external one is used. */
  readonly postgres: RunningPostgres | undefined
  readonly nats: RunningNats | undefined
  readonly natsUrl: string
  /** May do everything on the bus. */
  readonly natsAdmin: NatsConnection
  readonly databaseUrls: Readonly<Record<DatabaseService, string>>
  /** Stops an embedded store and starts it on the same port, or just starts it where it was killed. */
  restartStore: (name: 'postgres' | 'nats') => Promise<void>
  /** Lets calls end, then stops every part in order: gateway, services, NATS, PostgreSQL. */
  stop: () => Promise<void>
}

/** Starts every part and waits until all of it is healthy. @throws StackError after ending what it had started */
export async function runStack(options: StackOptions): Promise<RunningStack> {
  const parts = new Parts()
  try {
    return await assemble(options, parts)
  } catch (error) {
    await parts.stop()
    throw error
  }
}

/** What runs, and the order in which it ends. */
class Parts {
  readonly services = new Map<ServiceName, ServiceProcess>()
  simulator: ServiceProcess | undefined
  natsAdmin: NatsConnection | undefined
  nats: RunningNats | undefined
  postgres: RunningPostgres | undefined
  startNats: (() => Promise<unknown>) | undefined
  startPostgres: (() => Promise<unknown>) | undefined
  /** Starts under way: an end waits for them, so that none comes to life behind it. */
  readonly starting: Promise<unknown>[] = []
  /** Aborted as soon as all of it is to end. */
  readonly ending = new AbortController()
  #stopped: Promise<void> | undefined

  track<T>(start: Promise<T>): Promise<T> {
    this.starting.push(start)
    return start
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.ending.abort()
    await Promise.allSettled(this.starting)
    await this.services.get('gateway')?.stop()
    await this.simulator?.stop()
    await Promise.all([...this.services.values()].map(service => service.stop()))
    await this.natsAdmin?.close()
    await this.nats?.stop()
    await this.postgres?.stop()
  }
}

async function assemble(options: StackOptions, parts: Parts): Promise<RunningStack> {
  const { root, home, log } = options
  const since = Date.now()
  const done = (what: string) => log(`${what} (${((Date.now() - since) / 1000).toFixed(1)} s)`)
  const goOn = () => {
    if (options.signal?.aborted || parts.ending.signal.aborted) throw new StackError('The start was interrupted.')
  }
  const secrets = readKeptSecrets(home, options.env)
  const supervise = {
    home,
    restart: options.lasting,
    log,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  }

  const database = parts.track(
    (async () => {
      if (options.installed) return options.installed.databaseUrls
      const adminUrl = options.databaseUrl ?? (await startEmbeddedPostgres(options, parts))
      const urls = await provisionDatabases({
        adminUrl,
        password: service => secrets.databasePasswords[service],
      })
      done(options.databaseUrl ? 'PostgreSQL (DATABASE_URL) ready' : 'PostgreSQL ready')
      return urls
    })(),
  )
  const bus = parts.track(
    (async () => {
      const external = options.nats
      const server = external ?? (await startEmbeddedNats(options, parts))
      const { url, admin, services } = 'users' in server ? embeddedUsers(server) : server
      parts.natsAdmin = await connectAdmin(url, admin)
      await provisionBus(parts.natsAdmin, { replicas: Number(options.env.SLUICE_NATS_REPLICAS) || 1 })
      done(external ? 'NATS (NATS_URL) ready' : 'NATS ready')
      return { url, services, admin: parts.natsAdmin }
    })(),
  )
  const needsSimulator = !options.providers.openai || !options.providers.anthropic
  const bundles = options.bundles === undefined ? {} : { bundles: options.bundles }
  const simulatorPlan = planSimulator({ root, env: options.env, port: await freePort(), ...bundles })
  if (needsSimulator) parts.track(startService(simulatorPlan, supervise).then(started => (parts.simulator = started)))

  const ports = await choosePorts(options.port)
  const [databaseUrls, { url: natsUrl, services: natsUsers, admin: natsAdmin }] = await Promise.all([database, bus])
  goOn()
  const url = `http://${publicHost(options.host)}:${options.port}`
  const all = planServices({
    root,
    home,
    env: options.env,
    gatewayHost: options.host,
    ports,
    natsUrl,
    natsUsers,
    databaseUrls,
    ...(options.clickhouseUrl === undefined ? {} : { clickhouseUrl: options.clickhouseUrl }),
    masterKeyFile: secrets.masterKeyFile,
    budgetKeyFile: secrets.budgetKeyFile,
    providers: options.providers,
    ...(needsSimulator ? { simulatorUrl: simulatorPlan.url } : {}),
    publicUrl: url,
    largePages: options.largePages ?? true,
    ...bundles,
  })
  writeOperators(home, ports)
  const wanted: readonly string[] = options.services ?? serviceNames
  const plans = all.filter(plan => wanted.includes(plan.name))
  const bootstrapFile = join(home, 'bootstrap.json')
  const runBootstrap = async (plan: ServicePlan) =>
    parseBootstrap(
      await runServiceProgram(plan, 'bootstrap', {
        SLUICE_ADMIN_EMAIL: secrets.adminEmail,
        SLUICE_ADMIN_PASSWORD: secrets.adminPassword,
        SLUICE_BOOTSTRAP_FILE: bootstrapFile,
      }),
    )
  let bootstrap = options.installed ? readBootstrap(bootstrapFile) : undefined
  await Promise.all(
    plans.map(async plan => {
      if (!options.installed && (databaseServices as readonly string[]).includes(plan.name))
        await runServiceProgram(plan, 'migrate')
      goOn()
      // The first time before the service, which announces it at its start; afterwards it only says what there is.
      const isKnown = existsSync(bootstrapFile)
      if (plan.name === 'accounts' && !isKnown) bootstrap = await runBootstrap(plan)
      goOn()
      const starting = parts.track(
        startService(plan, supervise).then(started => {
          parts.services.set(plan.name as ServiceName, started)
          return started
        }),
      )
      if (plan.name === 'accounts' && isKnown) bootstrap ??= await runBootstrap(plan)
      const service = await starting
      await service.untilReady(60_000)
      goOn()
      done(`${plan.name} ready`)
    }),
  )
  await Promise.all(parts.starting)
  await parts.simulator?.untilReady()
  goOn()
  if (!bootstrap) throw new StackError('accounts is not among the services.')
  return {
    url,
    bootstrap,
    admin: { email: secrets.adminEmail, password: secrets.adminPassword },
    services: Object.fromEntries(parts.services) as Record<ServiceName, ServiceProcess>,
    simulator: parts.simulator,
    get postgres() {
      return parts.postgres
    },
    get nats() {
      return parts.nats
    },
    natsUrl,
    natsAdmin,
    databaseUrls,
    async restartStore(name) {
      const start = name === 'nats' ? parts.startNats : parts.startPostgres
      if (!start) throw new StackError(`${name} is not one of this stack's own parts.`)
      await start()
    },
    stop: () => parts.stop(),
  }
}

async function startEmbeddedPostgres(options: StackOptions, parts: Parts): Promise<string> {
  const keeper = createStoreKeeper({ name: 'PostgreSQL', signal: parts.ending.signal, log: options.log })
  const start = async (port?: number): Promise<RunningPostgres> => {
    const server = await startPostgres({
      dataDir: join(options.home, 'postgres'),
      durable: options.durable ?? options.lasting,
      log: options.log,
      ...(port === undefined ? {} : { port }),
    })
    parts.postgres = server
    parts.startPostgres = async () => {
      await server.stop()
      await start(server.port)
    }
    if (options.lasting) keeper.watch(server.process.exited, () => parts.track(start(server.port)))
    return server
  }
  return createDatabase((await start()).url, 'sluice')
}

async function startEmbeddedNats(options: StackOptions, parts: Parts): Promise<RunningNats> {
  const keeper = createStoreKeeper({ name: 'NATS', signal: parts.ending.signal, log: options.log })
  const start = async (port?: number): Promise<RunningNats> => {
    const server = await startNats({
      dataDir: join(options.home, 'nats'),
      durable: options.durable ?? options.lasting,
      log: options.log,
      ...(port === undefined ? {} : { port }),
    })
    parts.nats = server
    parts.startNats = async () => {
      await server.stop()
      await start(server.port)
    }
    if (options.lasting) keeper.watch(server.process.exited, () => parts.track(start(server.port)))
    return server
  }
  return start()
}

function embeddedUsers(server: RunningNats): ExternalNats {
  const services: ExternalNats['services'] = {}
  for (const service of serviceNames) services[service] = server.users[service]
  return { url: server.url, admin: server.users.admin, services }
}

async function connectAdmin(url: string, admin: { user: string; pass: string } | undefined): Promise<NatsConnection> {
  try {
    return await connect({
      servers: url,
      name: 'stack',
      inboxPrefix: '_INBOX_admin',
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      timeout: 10_000,
      ...admin,
    })
  } catch (cause) {
    const { host } = new URL(url)
    throw new StackError(
      `NATS at ${host} does not let us in: ${cause instanceof Error ? cause.message : String(cause)}.`,
      {
        cause,
      },
    )
  }
}

async function choosePorts(publicPort: number): Promise<Record<ServiceName, { port: number; operatorPort: number }>> {
  const ports = {} as Record<ServiceName, { port: number; operatorPort: number }>
  for (const service of serviceNames)
    ports[service] = {
      port: service === 'gateway' ? publicPort : await freePort(),
      operatorPort: await freePort(),
    }
  return ports
}

/** The host to write into URLs for people: an address that listens everywhere is reached by the loopback one. */
function publicHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}

/** Whether this checkout has its services: a part of it cannot run. */
export function missingServices(root: string): ServiceName[] {
  return serviceNames.filter(service => !existsSync(join(root, 'services', service, 'src', 'main.ts')))
}
