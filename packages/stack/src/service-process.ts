import { execFile } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { endOrphan } from './end-orphan.ts'
import { messageOf, readLogSince } from './program-error.ts'
import type { ServicePlan } from './service-plan.ts'
import { StackError } from './stack-error.ts'
import { startWatchedProcess, type WatchedProcess } from './watched-process.ts'

export interface ServiceProcessOptions {
  home: string
  /** Start it again when it ends by itself. */
  restart: boolean
  /** Aborted: nobody waits for it any more. */
  signal?: AbortSignal
  log: (line: string) => void
}

/** A service as a process of its own. */
export interface ServiceProcess {
  readonly name: string
  readonly plan: ServicePlan
  readonly logFile: string
  /** Of the process that runs now; undefined while none does. */
  readonly pid: number | undefined
  /** Returns when it says that it may take traffic. @throws StackError with the end of its log when it does not come up */
  untilReady: (timeoutMs?: number) => Promise<void>
  /** Lets it end in good order, and does not start it again. */
  stop: () => Promise<void>
  /** Ends it at once, as a crash would; it is not started again. */
  kill: () => Promise<void>
  /** Starts it where it does not run. */
  start: () => Promise<void>
}

const pausesMs = [250, 500, 1_000, 2_000, 5_000]
const run = promisify(execFile)

/** Starts a service. It listens on the same ports however often it is started again. */
export async function startService(plan: ServicePlan, options: ServiceProcessOptions): Promise<ServiceProcess> {
  const logFile = join(options.home, 'logs', `${plan.name}.log`)
  const pidFile = join(options.home, `${plan.name}.pid.json`)
  if ((await endOrphan(pidFile, { signal: 'SIGTERM', graceMs: 10_000 })) === 'ended')
    options.log(`ended the ${plan.name} of an earlier run`)
  let current: WatchedProcess | undefined
  let wanted = true
  let crashes = 0
  /** One that has never come up is broken: starting it again would only hide that. */
  let wasReady = false
  const logStart = sizeOf(logFile)
  const saidLast = () => messageOf(readLogSince(logFile, logStart))

  async function launch(): Promise<void> {
    const started = await startWatchedProcess({
      name: plan.name,
      command: process.execPath,
      args: argsOf(plan),
      cwd: plan.cwd,
      env: plan.env,
      logFile,
      pidFile,
      stopSignal: 'SIGTERM',
      graceMs: 30_000,
      log: options.log,
    })
    current = started
    const since = Date.now()
    void started.exited.then(end => onExit(started, since, end.code ?? end.signal))
  }

  async function onExit(ended: WatchedProcess, since: number, how: number | string | null): Promise<void> {
    if (!wanted || current !== ended || !options.restart || !wasReady) return
    crashes = Date.now() - since > 60_000 ? 0 : crashes + 1
    options.log(`${plan.name} ended by itself (${how}); starting it again. Its log: ${logFile}`)
    await delay(pausesMs[Math.min(crashes, pausesMs.length) - 1] ?? 250)
    if (wanted && current === ended) await launch()
  }

  await launch()
  return {
    name: plan.name,
    plan,
    logFile,
    get pid() {
      return current?.isRunning() ? current.pid : undefined
    },
    async untilReady(timeoutMs = 60_000) {
      const beganAt = Date.now()
      const deadline = beganAt + timeoutMs
      let missing = 'no answer'
      while (Date.now() < deadline) {
        if (options.signal?.aborted) throw new StackError('The start was interrupted.')
        if (!current?.isRunning() && !(options.restart && wasReady))
          throw new StackError(`${plan.name} ended while starting. ${saidLast()} (${logFile})`)
        missing = (await whatIsMissing(plan.readyUrl)) ?? ''
        if (missing === '') {
          wasReady = true
          return
        }
        // The longer it takes the more seldom it is asked: asking takes from what is waited for.
        await delay(Math.min(200, Math.max(50, (Date.now() - beganAt) / 10)))
      }
      throw new StackError(
        `${plan.name} was not ready within ${Math.round(timeoutMs / 1000)} s (${missing}). ${saidLast()} (${logFile})`,
      )
    },
    async stop() {
      wanted = false
      await current?.stop()
    },
    async kill() {
      wanted = false
      current?.signal('SIGKILL')
      await current?.exited
    },
    async start() {
      wanted = true
      if (!current?.isRunning()) await launch()
    },
  }
}

/** Modules that are loaded before a program, or that trace what it loads, must find its own: those of its sources. */
function argsOf({ args, bundledArgs, env, imports = [] }: ServicePlan): string[] {
  const isLookedInto = Object.keys(env).some(name => /^(NODE_OPTIONS$|OTEL_)/.test(name) && env[name])
  return [...imports.map(module => `--import=${module}`), ...(isLookedInto ? args : (bundledArgs ?? args))]
}

/** Runs one of a service's own programs (`migrate`, `bootstrap`) to its end. @returns what it printed */
export async function runServiceProgram(
  plan: Pick<ServicePlan, 'name' | 'cwd' | 'env' | 'bundles'>,
  program: string,
  extraEnv: Record<string, string> = {},
): Promise<string> {
  const source = join(plan.cwd, 'src', `${program}.ts`)
  const path = plan.bundles === undefined ? source : join(plan.bundles, `${plan.name}-${program}.mjs`)
  if (!existsSync(path)) throw new StackError(`${path} is missing.`)
  try {
    const { stdout } = await run(process.execPath, [path], {
      cwd: plan.cwd,
      env: { ...plan.env, ...extraEnv },
      timeout: 120_000,
      maxBuffer: 16 * 1024 ** 2,
    })
    return stdout
  } catch (cause) {
    const output = cause instanceof Error && 'stderr' in cause ? `${String(cause.stderr)}` : String(cause)
    const printed = cause instanceof Error && 'stdout' in cause ? `${String(cause.stdout)}` : ''
    throw new StackError(`${plan.name}: ${program} failed: ${messageOf(output.trim() || printed.trim())}`, { cause })
  }
}

/** undefined: ready. Else what the service says is missing. */
async function whatIsMissing(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    const body = await response.text()
    return response.ok ? undefined : `${response.status} ${body.slice(0, 200)}`
  } catch {
    return 'no answer'
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}
