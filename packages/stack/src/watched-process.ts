import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { identifyProcess } from './process-identity.ts'
import { StackError } from './stack-error.ts'

export interface WatchedProcessOptions {
  /** How people know it: `postgres`, `gateway`. */
  name: string
  command: string
  args: readonly string[]
  env: Record<string, string | undefined>
  cwd?: string
  /** Its output goes to the end of this file: a file outlives us, a pipe to us would not. */
  logFile: string
  /** Its identity is kept here while it runs, so that the next start can end it if everything else was killed. */
  pidFile: string
  /** Asks it to end in good order. */
  stopSignal: 'SIGTERM' | 'SIGINT'
  /** After this long it is killed, and that is said. */
  graceMs: number
  log?: (line: string) => void
  uid?: number
  gid?: number
}

/** How a process ended. */
export interface ProcessEnd {
  code: number | null
  signal: NodeJS.Signals | null
}

/** A process in a group of its own (Ctrl-C reaches us alone), which ends when we do, however we end. */
export interface WatchedProcess {
  readonly name: string
  readonly pid: number
  /** Settles when it has ended. */
  readonly exited: Promise<ProcessEnd>
  /** Whether it runs. */
  isRunning(): boolean
  /** Asks it to end, kills it after its grace; returns when it has ended. */
  stop(): Promise<ProcessEnd>
  /** Sends any signal to its whole group. */
  signal(signal: NodeJS.Signals): void
}

const watchdogScript = fileURLToPath(new URL('./watchdog.sh', import.meta.url))

/** Starts a process that cannot outlive us. @throws StackError when it cannot be started at all */
export async function startWatchedProcess(options: WatchedProcessOptions): Promise<WatchedProcess> {
  const log = openSync(options.logFile, 'a', 0o600)
  // The watchdog comes first: between the two lines below nothing is left to chance but a few microseconds.
  const watchdog = spawn(
    '/bin/sh',
    [watchdogScript, options.stopSignal.slice(3), String(Math.ceil(options.graceMs / 1000))],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  )
  watchdog.on('error', () => {})
  watchdog.stdin?.on('error', () => {})
  const child = spawn(options.command, options.args, {
    detached: true,
    env: options.env,
    stdio: ['ignore', log, log],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  })
  const exited = new Promise<ProcessEnd>(resolve => {
    child.once('exit', (code, signal) => {
      // Before anything else: the watchdog must not signal an id that the system may use again.
      watchdog.kill('SIGKILL')
      rmSync(options.pidFile, { force: true })
      resolve({ code, signal })
    })
  })
  try {
    await spawned(child)
  } catch (cause) {
    watchdog.kill('SIGKILL')
    throw new StackError(`${options.name} cannot be started: ${reason(cause)} (${options.command})`, { cause })
  } finally {
    closeSync(log)
  }
  const pid = child.pid
  if (pid === undefined) throw new StackError(`${options.name} cannot be started: it has no process id`)
  watchdog.stdin?.write(`${pid}\n`)
  const identity = identifyProcess(pid)
  if (identity) writeFileSync(options.pidFile, JSON.stringify({ ...identity, name: options.name }), { mode: 0o600 })

  const isRunning = () => child.exitCode === null && child.signalCode === null
  const signal = (name: NodeJS.Signals) => {
    if (!isRunning()) return
    try {
      process.kill(-pid, name)
    } catch {
      // It ended between the question and the signal.
    }
  }
  return {
    name: options.name,
    pid,
    exited,
    isRunning,
    signal,
    async stop() {
      if (!isRunning()) return exited
      // The leader alone: it knows in which order its own children end.
      child.kill(options.stopSignal)
      const timer = setTimeout(() => {
        if (!isRunning()) return
        options.log?.(
          `${options.name} did not end within ${options.graceMs / 1000} s of being asked to and is killed. Its log: ${options.logFile}`,
        )
        signal('SIGKILL')
      }, options.graceMs)
      try {
        return await exited
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
}

function reason(cause: unknown): string {
  return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : String(cause)
}
