import { join } from 'node:path'
import { ConfigReader, readServiceConfig, type ServiceConfig } from '@sluice/runtime'
import { type FrontRoute, FrontRoutesError, parseFrontRoutes } from './front-routes.ts'
import { type JournalMode, journalModes } from './journal/journal.ts'
import { defaultBaseUrls, type ManagedUpstream } from './resolve-route.ts'
import { callsFolder } from './sockets/known-calls.ts'
import { defaultMaxSockets, problemOfMaxSockets, readOpenFileLimit } from './sockets/socket-files.ts'
import type { SocketOptions } from './sockets/socket-upgrade.ts'

export interface GatewayConfig extends ServiceConfig {
  journalDir: string
  /** Folder of sibling journals, adopted when their process has ended. */
  journalRoot: string | undefined
  journalMode: JournalMode
  /** How long a call waits for its records in the stricter modes. */
  journalWaitMs: number
  frontRoutes: FrontRoute[]
  /** As clients know this installation; undefined: they are told paths alone. */
  publicOrigin: string | undefined
  allowPrivateUpstreams: boolean
  maxViewAgeMs: number
  maxBodyMemoryBytes: number
  /** Providers read on at once for clients that left. */
  maxDrains: number
  /** Where uploads wait; of this gateway alone. */
  spoolDir: string
  maxSpoolBytes: number
  /** Between two looks at a batch, and between two listings of batches at a provider; how long a taken batch stays taken. */
  batches: { minIntervalMs: number; listIntervalMs: number; leaseMs: number }
  sockets: SocketOptions
  /** How long calls are still taken at shutdown, not ready already; then how long running ones are waited for. */
  leaveMs: number
  /** How long a realtime call stays with a gateway that says nothing of it. */
  callLeaseMs: number
  drainMs: number
  backgroundPollMs: number
  /** The first time that tokens are counted takes 150 ms, in which nothing else runs: before the first call, or only then. */
  loadVocabulary: 'at-start' | 'when-needed'
  /** Between two messages that say which keys have been used. */
  keysUsedMs: number
  traceRatio: number
  tracesExported: boolean
  timeouts: { streamHeadersMs: number; headersMs: number; idleMs: number; maxDrainMs: number; maxStallMs: number }
  tls: { certFile: string; keyFile: string } | undefined
  upstreamCaFile: string | undefined
  /** Where files of credentials at providers are. */
  credentialsDir: string | undefined
  simulated: { openai: boolean; anthropic: boolean }
}

/** Kept apart from the configuration so that no log line ever carries it. */
export interface GatewaySecrets {
  masterKey: string
  managed: { openai: ManagedUpstream; anthropic: ManagedUpstream }
}

/** Reads every variable of the gateway. @throws ConfigError with every problem found */
export function readConfig(env: NodeJS.ProcessEnv): { config: GatewayConfig; secrets: GatewaySecrets } {
  const reader = new ConfigReader(env)
  const simulatorUrl = reader.optionalUrl('GATEWAY_SIMULATOR_URL')
  const managed = {
    openai: readManaged(reader, 'openai', simulatorUrl === undefined ? undefined : `${simulatorUrl}/v1`),
    anthropic: readManaged(reader, 'anthropic', simulatorUrl),
  }
  const certFile = reader.optionalString('GATEWAY_TLS_CERT_FILE')
  const keyFile = reader.optionalString('GATEWAY_TLS_KEY_FILE')
  if ((certFile === undefined) !== (keyFile === undefined))
    reader.problem('GATEWAY_TLS_CERT_FILE and GATEWAY_TLS_KEY_FILE go together')
  const masterKey = reader.secret('SLUICE_MASTER_KEY') ?? ''
  if (masterKey === '') reader.problem('SLUICE_MASTER_KEY or SLUICE_MASTER_KEY_FILE is not set')
  const journalDir = reader.string('GATEWAY_JOURNAL_DIR')
  const journalMode = reader.oneOf('GATEWAY_JOURNAL', journalModes, 'group')
  if (journalMode === 'replicated' && reader.optionalString('GATEWAY_JOURNAL_ROOT') === undefined)
    reader.problem('GATEWAY_JOURNAL=replicated needs GATEWAY_JOURNAL_ROOT: where journals of siblings are restored')
  const config: GatewayConfig = {
    // Clients connect to it, so that not even its own machine is believed unasked.
    ...readServiceConfig(reader, 'GATEWAY', 8080, []),
    journalDir,
    spoolDir: reader.optionalString('GATEWAY_SPOOL_DIR') ?? join(journalDir, 'uploads'),
    journalRoot: reader.optionalString('GATEWAY_JOURNAL_ROOT'),
    journalMode,
    journalWaitMs: reader.integer('GATEWAY_JOURNAL_WAIT_MS', 5_000, { min: 10 }),
    frontRoutes: readFrontRoutes(reader),
    publicOrigin: reader.optionalOrigin('SLUICE_PUBLIC_URL'),
    allowPrivateUpstreams: reader.boolean('SLUICE_ALLOW_PRIVATE_UPSTREAMS'),
    maxViewAgeMs: reader.integer('SLUICE_MAX_VIEW_AGE', 900, { min: 1 }) * 1000,
    maxBodyMemoryBytes: reader.integer('GATEWAY_MAX_BODY_MEMORY_MIB', 512, { min: 32 }) * 1024 * 1024,
    maxDrains: reader.integer('GATEWAY_MAX_DRAINS', 1_000),
    maxSpoolBytes: reader.integer('GATEWAY_MAX_SPOOL_MIB', 4096, { min: 256 }) * 1024 * 1024,
    batches: {
      minIntervalMs: reader.integer('GATEWAY_BATCH_POLL_MS', 10_000, { min: 50 }),
      listIntervalMs: reader.integer('GATEWAY_BATCH_LIST_MS', 300_000, { min: 200 }),
      leaseMs: reader.integer('GATEWAY_BATCH_LEASE_MS', 60_000, { min: 1_000 }),
    },
    sockets: {
      callsDir: join(journalDir, callsFolder),
      maxSockets: readMaxSockets(reader),
      allowedOrigins: readOrigins(reader),
    },
    leaveMs: reader.integer('GATEWAY_LEAVE_MS', 0),
    callLeaseMs: reader.integer('GATEWAY_CALL_LEASE_MS', 30_000, { min: 1_000 }),
    drainMs: reader.integer('GATEWAY_DRAIN_MS', 600_000),
    loadVocabulary: reader.oneOf('GATEWAY_LOAD_VOCABULARY', ['at-start', 'when-needed'], 'at-start'),
    keysUsedMs: reader.integer('GATEWAY_KEYS_USED_MS', 60_000, { min: 100 }),
    backgroundPollMs: reader.integer('GATEWAY_BACKGROUND_POLL_MS', 2_000, { min: 10 }),
    traceRatio: readRatio(reader, 'GATEWAY_TRACE_RATIO_PER_MILLE'),
    tracesExported: reader.optionalString('OTEL_EXPORTER_OTLP_ENDPOINT') !== undefined,
    timeouts: {
      streamHeadersMs: reader.integer('GATEWAY_STREAM_HEADERS_TIMEOUT_MS', 120_000, { min: 100 }),
      headersMs: reader.integer('GATEWAY_HEADERS_TIMEOUT_MS', 600_000, { min: 100 }),
      idleMs: reader.integer('GATEWAY_IDLE_TIMEOUT_MS', 600_000, { min: 100 }),
      maxDrainMs: reader.integer('GATEWAY_CLIENT_ABORT_DRAIN_MS', 300_000),
      maxStallMs: reader.integer('GATEWAY_CLIENT_STALL_MS', 300_000, { min: 100 }),
    },
    tls: certFile !== undefined && keyFile !== undefined ? { certFile, keyFile } : undefined,
    upstreamCaFile: reader.optionalString('GATEWAY_UPSTREAM_CA_FILE'),
    credentialsDir: reader.optionalString('GATEWAY_CREDENTIALS_DIR'),
    simulated: {
      openai: managed.openai.servedBy === 'simulator',
      anthropic: managed.anthropic.servedBy === 'simulator',
    },
  }
  reader.check()
  return { config, secrets: { masterKey, managed } }
}

/** The operator's own key, else the simulator, else the provider without a credential (projects must bring theirs). */
function readManaged(
  reader: ConfigReader,
  provider: 'openai' | 'anthropic',
  simulatorUrl: string | undefined,
): ManagedUpstream {
  const prefix = `GATEWAY_${provider.toUpperCase()}`
  const apiKey = reader.secret(`${prefix}_API_KEY`)
  const baseUrl = reader.optionalUrl(`${prefix}_BASE_URL`)
  if (apiKey === undefined && simulatorUrl !== undefined)
    return { baseUrl: simulatorUrl, apiKey: 'simulator', servedBy: 'simulator' }
  return {
    baseUrl: (baseUrl ?? defaultBaseUrls[provider]).replace(/\/$/, ''),
    apiKey: apiKey ?? '',
    servedBy: provider,
  }
}

function readFrontRoutes(reader: ConfigReader): FrontRoute[] {
  try {
    return parseFrontRoutes(reader.string('SLUICE_FRONT_ROUTES', ''))
  } catch (error) {
    if (!(error instanceof FrontRoutesError)) throw error
    reader.problem(`SLUICE_FRONT_ROUTES: ${error.message}`)
    return []
  }
}

function readMaxSockets(reader: ConfigReader): number {
  const openFileLimit = readOpenFileLimit()
  if (reader.optionalString('GATEWAY_MAX_SOCKETS') === undefined) return defaultMaxSockets(openFileLimit)
  const maxSockets = reader.integer('GATEWAY_MAX_SOCKETS', 1, { min: 1 })
  const problem = problemOfMaxSockets(maxSockets, openFileLimit)
  if (problem !== undefined) reader.problem(problem)
  return maxSockets
}

/** Origins of browsers that may open sockets; unset: any, for a key must come with each. */
function readOrigins(reader: ConfigReader): string[] | undefined {
  const text = reader.optionalString('GATEWAY_SOCKET_ORIGINS')
  return text?.split(',').map(origin => origin.trim().toLowerCase())
}

function readRatio(reader: ConfigReader, name: string): number {
  return reader.integer(name, 10, { max: 1000 }) / 1000
}
