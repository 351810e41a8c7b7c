import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type ServiceName, serviceNames } from '@sluice/contracts'
import { endOrphan } from './end-orphan.ts'
import { freePort } from './free-port.ts'
import { tailOf } from './log-tail.ts'
import { findNatsServer } from './nats-binary.ts'
import { writeNatsConfig } from './nats-config.ts'
import { newPassword, readOrCreateSecret } from './secret-file.ts'
import { StackError } from './stack-error.ts'
import { startWatchedProcess, type WatchedProcess } from './watched-process.ts'

export interface NatsOptions {
  /** Everything of this server lives here: streams, passwords, configuration, log, pid file. */
  dataDir: string
  /** Default: a free one. */
  port?: number
  /** false: the disk is synced every two minutes only. For tests. */
  durable?: boolean
  log?: (line: string) => void
}

/** Every service, and `admin`, which makes streams, buckets and consumers. */
export type NatsUser = ServiceName | 'admin'
export const natsUsers: readonly NatsUser[] = [...serviceNames, 'admin']

export interface RunningNats {
  readonly url: string
  readonly port: number
  readonly users: Record<NatsUser, { user: NatsUser; pass: string }>
  readonly process: WatchedProcess
  stop(): Promise<void>
}

/** Starts an embedded NATS server with JetStream on 127.0.0.1, one credential a service. Ends it when we end. */
export async function startNats(options: NatsOptions): Promise<RunningNats> {
  const home = resolve(options.dataDir)
  const logFile = join(home, 'nats.log')
  const pidFile = join(home, 'nats.pid.json')
  const portsFolder = join(home, 'ports')
  const binary = findNatsServer(process.env)
  mkdirSync(join(home, 'data'), { recursive: true, mode: 0o700 })
  if ((await endOrphan(pidFile, { signal: 'SIGTERM', graceMs: 20_000 })) === 'ended')
    options.log?.('ended the NATS server of an earlier run')

  const passwords = readPasswords(join(home, 'passwords.json'))
  const port = options.port ?? (await freePort())
  const configFile = join(home, 'nats.conf')
  const config = writeNatsConfig({
    listen: `127.0.0.1:${port}`,
    storeDir: join(home, 'data'),
    syncInterval: options.durable === false ? '2m' : 'always',
    maxFileStore: '16GB',
    passwords,
  })
  writeFileSync(configFile, config, { mode: 0o600 })
  // The server writes a file here when its port is open.
  rmSync(portsFolder, { recursive: true, force: true })
  mkdirSync(portsFolder, { mode: 0o700 })
  const server = await startWatchedProcess({
    name: 'nats',
    command: binary,
    args: ['--config', configFile, '--ports_file_dir', portsFolder],
    cwd: home,
    env: { PATH: process.env.PATH, GOMAXPROCS: process.env.GOMAXPROCS, GOMEMLIMIT: process.env.GOMEMLIMIT },
    logFile,
    pidFile,
    stopSignal: 'SIGTERM',
    graceMs: 20_000,
    ...(options.log === undefined ? {} : { log: options.log }),
  })
  await untilReady(server, join(portsFolder, `nats-server_${server.pid}.ports`), logFile)
  const users = {} as Record<NatsUser, { user: NatsUser; pass: string }>
  for (const user of natsUsers) users[user] = { user, pass: passwords[user] }
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    users,
    process: server,
    async stop() {
      await server.stop()
    },
  }
}

function readPasswords(path: string): Record<NatsUser, string> {
  const create = () => JSON.stringify(Object.fromEntries(natsUsers.map(user => [user, newPassword()])))
  const kept = JSON.parse(readOrCreateSecret(path, create)) as Record<string, string>
  const missing = natsUsers.filter(user => kept[user] === undefined)
  for (const user of missing) kept[user] = newPassword()
  if (missing.length > 0) writeFileSync(path, `${JSON.stringify(kept)}\n`, { mode: 0o600 })
  return kept
}

async function untilReady(server: WatchedProcess, portsFile: string, logFile: string): Promise<void> {
  const deadline = Date.now() + 60_000
  while (Date.now() < deadline) {
    if (!server.isRunning())
      throw new StackError(`The NATS server ended while starting. Its log (${logFile}) ends with: ${tailOf(logFile)}`)
    if (isListed(portsFile)) return
    await delay(10)
  }
  await server.stop()
  throw new StackError(`The NATS server was not ready within 60 s. Its log (${logFile}) ends with: ${tailOf(logFile)}`)
}

function isListed(portsFile: string): boolean {
  try {
    return readFileSync(portsFile, 'utf8').includes('nats://')
  } catch {
    return false
  }
}
