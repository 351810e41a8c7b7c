import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { endOrphan } from './end-orphan.ts'
import { freePort } from './free-port.ts'
import { tailOf } from './log-tail.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { releasePostmasterLock } from './postmaster-lock.ts'
import { readOrCreateSecret } from './secret-file.ts'
import { StackError } from './stack-error.ts'
import { chooseRunAs, giveTo, type RunAs } from './unprivileged-user.ts'
import { startWatchedProcess, type WatchedProcess } from './watched-process.ts'

export interface PostgresOptions {
  /** Everything of this server lives here: data, password, log, pid file. */
  dataDir: string
  /** Default: a free one. */
  port?: number
  /** false: faster and lost on a power cut. For tests. */
  durable?: boolean
  /** Default: 100. */
  maxConnections?: number
  log?: (line: string) => void
}

export interface RunningPostgres {
  /** Of the superuser, to the database `postgres`. */
  readonly url: string
  readonly port: number
  readonly process: WatchedProcess
  stop(): Promise<void>
}

const superuser = 'sluice'
const major = '18'
const run = promisify(execFile)

/** Starts an embedded PostgreSQL on 127.0.0.1, making its data directory the first time. Ends it when we end. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const log = options.log ?? (() => {})
  const home = resolve(options.dataDir)
  const data = join(home, 'data')
  const logFile = join(home, 'postgres.log')
  const pidFile = join(home, 'postgres.pid.json')
  const binaries = findPostgresBinaries()
  mkdirSync(home, { recursive: true, mode: 0o711 })
  const password = readOrCreateSecret(join(home, 'password'))
  const orphan = await endOrphan(pidFile, { signal: 'SIGINT', graceMs: 20_000 })
  if (orphan === 'ended') log('ended the PostgreSQL of an earlier run')

  const runAs = chooseRunAs([binaries.postgres, data])
  checkVersion(data)
  if (!existsSync(join(data, 'PG_VERSION'))) {
    log('making the PostgreSQL data directory')
    await initialise({ home, data, initdb: binaries.initdb, password, runAs, durable: options.durable !== false })
  }
  if (runAs.owner) giveTo(data, runAs.owner)
  releasePostmasterLock(data)
  const port = options.port ?? (await freePort())
  const [command = binaries.postgres, ...args] = [
    ...runAs.prefix,
    binaries.postgres,
    '-D',
    data,
    ...settings(port, options),
  ]
  const begin = () =>
    startWatchedProcess({
      name: 'postgres',
      command,
      args,
      cwd: data,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      logFile,
      pidFile,
      stopSignal: 'SIGINT',
      graceMs: 20_000,
      ...(options.log === undefined ? {} : { log: options.log }),
      ...(runAs.uid === undefined ? {} : { uid: runAs.uid }),
      ...(runAs.gid === undefined ? {} : { gid: runAs.gid }),
    })
  const server = await beginUntilReady(begin, join(data, 'postmaster.pid'), logFile, log)
  return {
    url: `postgres://${superuser}:${password}@127.0.0.1:${port}/postgres`,
    port,
    process: server,
    async stop() {
      await server.stop()
    },
  }
}

function settings(port: number, options: PostgresOptions): string[] {
  const values: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    shared_buffers: '64MB',
    max_connections: String(options.maxConnections ?? 100),
    max_wal_size: '512MB',
    min_wal_size: '64MB',
    password_encryption: 'scram-sha-256',
    timezone: 'UTC',
    log_min_messages: 'warning',
  }
  if (options.durable === false)
    Object.assign(values, {
      fsync: 'off',
      full_page_writes: 'off',
      synchronous_commit: 'off',
      // Copies of databases are made by the kernel, where `strategy file_copy` asks for files: less than half the work.
      file_copy_method: 'clone',
      ...cheapPasswords,
    })
  return setting(values)
}

/** Both sides of each connection hash its password so many times: for tests, which make thousands of them. */
const cheapPasswords = { scram_iterations: '1' }

const setting = (values: Record<string, string>) =>
  Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`])

function checkVersion(data: string): void {
  const versionFile = join(data, 'PG_VERSION')
  if (!existsSync(versionFile)) {
    // A folder that initdb did not finish holds no version; one with other files in it is not ours to clear.
    if (!existsSync(data)) return
    if (readdirSync(data).length > 0)
      throw new StackError(
        `${data} holds files that are no PostgreSQL data directory; move them away, or set SLUICE_HOME.`,
      )
    return
  }
  const version = readFileSync(versionFile, 'utf8').trim()
  if (version !== major)
    throw new StackError(
      `${data} was made by PostgreSQL ${version}; this version runs ${major}. ` +
        'Dump it with the old version and load it into a new one, or set SLUICE_HOME to an empty folder.',
    )
}

async function initialise(at: {
  home: string
  data: string
  initdb: string
  password: string
  runAs: RunAs
  durable: boolean
}): Promise<void> {
  // Made under another name and moved when it is whole: a start that was killed half-way leaves nothing that looks finished.
  const draft = join(at.home, 'data.new')
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  const passwordFile = join(at.home, 'initdb-password')
  writeFileSync(passwordFile, at.password, { mode: 0o600 })
  if (at.runAs.owner) {
    giveTo(draft, at.runAs.owner)
    giveTo(passwordFile, at.runAs.owner)
  }
  const [command = at.initdb, ...args] = [
    ...at.runAs.prefix,
    at.initdb,
    `--pgdata=${draft}`,
    `--username=${superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-instructions',
    ...(at.durable ? [] : ['--no-sync', '--no-data-checksums', ...setting(cheapPasswords)]),
  ]
  try {
    await run(command, args, {
      cwd: draft,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      ...(at.runAs.uid === undefined ? {} : { uid: at.runAs.uid }),
      ...(at.runAs.gid === undefined ? {} : { gid: at.runAs.gid }),
    })
  } catch (cause) {
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : String(cause)
    rmSync(draft, { recursive: true, force: true })
    throw new StackError(`PostgreSQL could not make its data directory in ${at.home}: ${reasonIn(stderr)}`, { cause })
  } finally {
    rmSync(passwordFile, { force: true })
  }
  rmSync(at.data, { recursive: true, force: true })
  renameSync(draft, at.data)
}

/**
 * Sessions outlive a server that was killed, until they look up from what they do; as long as one of them writes, a new
 * server refuses the directory. So it is begun again while they end.
 */
async function beginUntilReady(
  begin: () => Promise<WatchedProcess>,
  statusFile: string,
  logFile: string,
  log: (line: string) => void,
): Promise<WatchedProcess> {
  const deadline = Date.now() + 60_000
  for (let refused = 0; ; refused++) {
    const server = await begin()
    while (server.isRunning() && Date.now() < deadline) {
      if (isReady(statusFile, server.pid)) return server
      await delay(15)
    }
    if (server.isRunning()) {
      await server.stop()
      throw new StackError(`PostgreSQL was not ready within 60 s. Its log (${logFile}) ends with: ${tailOf(logFile)}`)
    }
    const lastWords = tailOf(logFile)
    if (Date.now() >= deadline || !lastWords.includes('pre-existing shared memory block'))
      throw new StackError(`PostgreSQL ended while starting. Its log (${logFile}) ends with: ${lastWords}`)
    if (refused === 0) log('waiting for the sessions of a PostgreSQL that was killed to end')
    await delay(250)
  }
}

/** The postmaster writes its own state into line 8 of its pid file, which is what pg_ctl waits for as well. */
function isReady(statusFile: string, pid: number): boolean {
  try {
    const lines = readFileSync(statusFile, 'utf8').split('\n')
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
  } catch {
    return false
  }
}

/** The line that says why; around it stand what it did before and what it cleared away. */
function reasonIn(output: string): string {
  const lines = output.split('\n')
  return lines.find(line => /\b(FATAL|PANIC|error):/.test(line)) ?? lines.at(-1) ?? output
}
