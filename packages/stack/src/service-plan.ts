import { join } from 'node:path'
import { type ServiceName, serviceNames } from '@sluice/contracts'
import type { ManagedProvider } from './choose-providers.ts'
import { writeFrontRoutes } from './front-routes.ts'
import type { DatabaseService } from './provision-databases.ts'

/** How to run one service: its program, its environment, where it listens. */
export interface ServicePlan {
  name: ServiceName | 'simulator'
  /** The service's folder: modules it loads before its program are found from there. */
  cwd: string
  args: string[]
  /** The same program from its bundle, where there is one: for whoever starts it again and again. */
  bundledArgs?: string[]
  /** Where the service's other programs lie bundled, each as `<service>-<program>.mjs`. */
  bundles?: string
  /** Modules that are loaded before the program and change Node itself alone: before its bundle too, unlike those of `NODE_OPTIONS`. */
  imports?: string[]
  env: Record<string, string | undefined>
  /** Public routes. */
  url: string
  /** Answers 200 when the service may take traffic. */
  readyUrl: string
}

export interface PlanInput {
  root: string
  home: string
  /** The environment of whoever starts the stack; what is meant for a service is passed on. */
  env: Record<string, string | undefined>
  gatewayHost: string
  ports: Record<ServiceName, { port: number; operatorPort: number }>
  natsUrl: string
  natsUsers: Partial<Record<ServiceName, { user: string; pass: string }>>
  databaseUrls: Record<DatabaseService, string>
  clickhouseUrl?: string
  masterKeyFile: string
  budgetKeyFile: string
  providers: { openai?: ManagedProvider; anthropic?: ManagedProvider }
  /** Absent where real providers answer everything. */
  simulatorUrl?: string
  /** The public origin as people write it. */
  publicUrl: string
  /** Whether gateways put their engine's code on large pages: worth it for one that runs for longer than it starts. */
  largePages: boolean
  /** Where the services' programs lie bundled with what is loaded before them, each as `<service>.mjs` and `<service>-<program>.mjs`. */
  bundles?: string
}

/** What every service runs with: enough of the machine's environment to work, nobody's provider keys. */
const passedOn =
  /^(PATH|HOME|TMPDIR|LANG|LC_.*|TZ|HTTPS?_PROXY|https?_proxy|NO_PROXY|no_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR|OTEL_.*|NODE_COMPILE_CACHE|SLUICE_LOG_LEVEL|SLUICE_MAX_VIEW_AGE)$/

/**
 * A gateway runs one process a core: helper threads of the garbage collector would take from that core what they save, and
 * a larger young generation lets what a call allocates die before it is ever copied. A full collection is due when the old
 * generation has less room left than the young one is large: with a small heap that is at once, again and again, and took a
 * fifth of the CPU, so the heap may grow to six times what lives in it. What calls in flight have when the young generation is
 * collected makes the engine take their objects for long-lived and put later ones into the old generation at once, where
 * they keep others alive: with hard budgets that took a quarter of the CPU and four times the memory. Its engine's code lies on
 * large pages where the system has them, 25 MB of its own: calls go through so much of it that finding the small ones took up
 * to a twentieth of the CPU. Memory of bodies counts as the rest of the heap does: by itself it made a full collection due every
 * 64 MB, which with prompts of 100 kB took more of the CPU than the calls.
 */
export const gatewayFlags = [
  '--max-semi-space-size=32',
  '--heap-growing-percent=500',
  '--single-threaded-gc',
  '--no-allocation-site-pretenuring',
  '--external-memory-accounted-in-global-limit',
] as const
/**
 * For the allocator of the C library. It gave the memory of large bodies back to the system as soon as they were let go, and took it
 * anew for the next ones, a page fault for each 4 kB: at 100 kB that was a third of what a body's memory cost.
 */
export const memoryOfBodies = {
  MALLOC_MMAP_THRESHOLD_: String(4 * 1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(128 * 1024 * 1024),
} as const
const onLargePages = '--use-largepages=silent'
/**
 * For programs that are started again and again and end soon, as bundled ones are: from the beginning room for what a start
 * allocates, which else is copied while the young generation grows, and no helper threads, for which other programs wait. A
 * tenth of the CPU of a start.
 */
const shortLivedFlags = ['--min-semi-space-size=16', '--max-semi-space-size=16', '--single-threaded-gc'] as const

/** Environment and program of every service. */
export function planServices(input: PlanInput): ServicePlan[] {
  return serviceNames.map(name => planService(name, input))
}

function planService(name: ServiceName, input: PlanInput): ServicePlan {
  const prefix = name.toUpperCase()
  const { port, operatorPort } = input.ports[name]
  const host = name === 'gateway' ? input.gatewayHost : '127.0.0.1'
  const user = input.natsUsers[name]
  const cwd = join(input.root, 'services', name)
  // The gateway measures itself: instrumentation of every request would cost more than the request.
  const ofGateway = [...gatewayFlags, ...(input.largePages ? [onLargePages] : [])]
  const isGateway = name === 'gateway'
  return {
    name,
    cwd,
    args: [...(isGateway ? ofGateway : ['--import', '@sluice/telemetry/setup']), join(cwd, 'src', 'main.ts')],
    ...bundled(input.bundles, name, isGateway ? ofGateway : shortLivedFlags),
    env: {
      ...pickEnvironment(input.env, prefix),
      [`${prefix}_HOST`]: host,
      [`${prefix}_PORT`]: String(port),
      [`${prefix}_OPERATOR_PORT`]: String(operatorPort),
      NATS_URL: input.natsUrl,
      NATS_USER: user?.user,
      NATS_PASSWORD: user?.pass,
      ...own(name, input),
    },
    url: `http://127.0.0.1:${port}`,
    readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
  }
}

function bundled(
  folder: string | undefined,
  name: ServicePlan['name'],
  flags: readonly string[],
): Pick<ServicePlan, 'bundledArgs' | 'bundles'> {
  return folder === undefined ? {} : { bundles: folder, bundledArgs: [...flags, join(folder, `${name}.mjs`)] }
}

function own(name: ServiceName, input: PlanInput): Record<string, string | undefined> {
  switch (name) {
    case 'gateway':
      return {
        ...memoryOfBodies,
        SLUICE_MASTER_KEY_FILE: input.masterKeyFile,
        GATEWAY_JOURNAL_DIR: join(input.home, 'journal'),
        GATEWAY_SIMULATOR_URL: input.simulatorUrl,
        // Shorter than the grace after which the process is killed.
        GATEWAY_DRAIN_MS: input.env.GATEWAY_DRAIN_MS ?? '25000',
        ...managed('GATEWAY_OPENAI', input.providers.openai),
        ...managed('GATEWAY_ANTHROPIC', input.providers.anthropic),
        SLUICE_ALLOW_PRIVATE_UPSTREAMS: input.env.SLUICE_ALLOW_PRIVATE_UPSTREAMS,
        SLUICE_PUBLIC_URL: input.publicUrl,
        SLUICE_FRONT_ROUTES: writeFrontRoutes({
          accounts: originOf('accounts', input),
          budget: originOf('budget', input),
          billing: originOf('billing', input),
          analytics: originOf('analytics', input),
        }),
      }
    case 'accounts':
      return {
        ACCOUNTS_DATABASE_URL: input.databaseUrls.accounts,
        SLUICE_MASTER_KEY_FILE: input.masterKeyFile,
        SLUICE_ALLOW_PRIVATE_UPSTREAMS: input.env.SLUICE_ALLOW_PRIVATE_UPSTREAMS,
        SLUICE_PUBLIC_URL: input.publicUrl,
      }
    case 'budget':
      return {
        BUDGET_DATABASE_URL: input.databaseUrls.budget,
        BUDGET_SECRET_KEY_FILE: input.budgetKeyFile,
        SLUICE_SMTP_URL: input.env.SLUICE_SMTP_URL,
        SLUICE_SMTP_URL_FILE: input.env.SLUICE_SMTP_URL_FILE,
        SLUICE_MAIL_FROM: input.env.SLUICE_MAIL_FROM,
        SLUICE_PUBLIC_URL: input.publicUrl,
        SLUICE_ALLOW_PRIVATE_UPSTREAMS: input.env.SLUICE_ALLOW_PRIVATE_UPSTREAMS,
      }
    case 'billing':
      return {
        BILLING_DATABASE_URL: input.databaseUrls.billing,
        SLUICE_ARCHIVE: input.env.SLUICE_ARCHIVE,
        SLUICE_ARCHIVE_ACCESS_KEY_ID: input.env.SLUICE_ARCHIVE_ACCESS_KEY_ID,
        SLUICE_ARCHIVE_SECRET_ACCESS_KEY: input.env.SLUICE_ARCHIVE_SECRET_ACCESS_KEY,
        SLUICE_ARCHIVE_SECRET_ACCESS_KEY_FILE: input.env.SLUICE_ARCHIVE_SECRET_ACCESS_KEY_FILE,
      }
    case 'analytics':
      return {
        ANALYTICS_DATABASE_URL: input.databaseUrls.analytics,
        ...(input.clickhouseUrl === undefined
          ? { ANALYTICS_CHDB_DIR: join(input.home, 'clickhouse') }
          : { CLICKHOUSE_URL: input.clickhouseUrl }),
      }
    default:
      return name satisfies never
  }
}

/** A base URL alone is a server that asks for no key; the gateway takes a provider as real by its key. */
function managed(prefix: string, provider: ManagedProvider | undefined): Record<string, string | undefined> {
  if (provider === undefined) return {}
  return { [`${prefix}_API_KEY`]: provider.apiKey ?? 'none', [`${prefix}_BASE_URL`]: provider.baseUrl }
}

function originOf(name: ServiceName, input: PlanInput): string {
  return `http://127.0.0.1:${input.ports[name].port}`
}

/** What of an environment a process gets: the machine's, and the variables that begin with its own prefix. */
export function pickEnvironment(
  env: Record<string, string | undefined>,
  prefix: string,
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => passedOn.test(name) || name.startsWith(`${prefix}_`)),
  )
}

/** The provider that answers where no real one is configured. */
export function planSimulator(input: {
  root: string
  env: Record<string, string | undefined>
  port: number
  bundles?: string
}): ServicePlan {
  const cwd = join(input.root, 'packages', 'simulator')
  const url = `http://127.0.0.1:${input.port}`
  return {
    name: 'simulator',
    cwd,
    args: [join(cwd, 'src', 'main.ts')],
    ...bundled(input.bundles, 'simulator', shortLivedFlags),
    env: {
      ...pickEnvironment(input.env, 'SIMULATOR'),
      SIMULATOR_HOST: '127.0.0.1',
      SIMULATOR_PORT: String(input.port),
    },
    url,
    readyUrl: `${url}/`,
  }
}
