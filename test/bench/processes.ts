import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Load, mock and stores on the first core; what is measured alone on the second. */
export const loadCore = 0
const cores = availableParallelism()
export const targetCore = cores > 1 ? 1 : 0

const ticksPerSecond = 100

/** Starts a process on one core; its output goes to a file in `logs`. */
export function startPinned(
  name: string,
  core: number,
  command: readonly string[],
  options: { logs: string; env?: Record<string, string>; cwd?: string },
): ChildProcess {
  const log = openSync(join(options.logs, `${name}.log`), 'a')
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['pipe', log, log],
    env: { PATH: `${process.env.PATH}:/usr/sbin`, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  child.on('error', error => process.stderr.write(`${name}: ${error.message}\n`))
  return child
}

/** Puts a process, its descendants and all their threads on one core. */
export function pinTree(root: number, core: number): void {
  for (const pid of processTree(root)) {
    const pin = () =>
      execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(core), String(pid)], { stdio: 'ignore' })
    for (let tries = 1; ; tries++) {
      try {
        pin()
        break
      } catch (error) {
        // A thread that ends while they are gone through makes it fail.
        if (tries === 5) throw error
      }
    }
  }
}

/** Lets this process, and what it starts from now on, run on any core. @returns what brings it back to the core of the load */
export function takeAllCores(): () => void {
  const run = (on: string) =>
    execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', on, String(process.pid)], { stdio: 'ignore' })
  run(`0-${cores - 1}`)
  return () => run(String(loadCore))
}

/** Lets this process and what it starts open many files, where the machine allows it. */
export function raiseFileLimit(): void {
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=65536:65536'], { stdio: 'ignore' })
  } catch {
    // `fileLimit` tells those who need to know.
  }
}

/** How many files a process may open here. */
export function fileLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024)
}

/** Sockets that one proxy can hold here: two files each, 200 for all else. */
export function mostSockets(): number {
  return Math.max(1, Math.floor((fileLimit() - 200) / 2))
}

/** Ends a process we started, hard if it does not go within 10 s. */
export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(timer)
}

/** CPU that a process and all its descendants have used, in microseconds (resolution 10 ms). */
export function cpuMicroseconds(root: number): number {
  let ticks = 0
  for (const pid of processTree(root)) {
    const fields = statFields(`/proc/${pid}/stat`)
    ticks += Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0)
  }
  return (ticks / ticksPerSecond) * 1e6
}

/** How much of that the compilers of Node's engine used, on threads of their own; some collectors of garbage run there too. */
export function compilerMicroseconds(root: number): number {
  let ticks = 0
  for (const pid of processTree(root))
    for (const thread of entriesOf(`/proc/${pid}/task`)) {
      const stat = `/proc/${pid}/task/${thread}/stat`
      if (!readIfThere(stat).includes('(V8Worker)')) continue
      const fields = statFields(stat)
      ticks += Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0)
    }
  return (ticks / ticksPerSecond) * 1e6
}

/** Resident memory of a process and all its descendants, in bytes. */
export function residentBytes(root: number): number {
  let kilobytes = 0
  for (const pid of processTree(root)) {
    const status = readIfThere(`/proc/${pid}/status`)
    kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return kilobytes * 1024
}

function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = Number(statFields(`/proc/${entry}/stat`)?.[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/** Fields after the command's name, which may hold blanks: state, parent, … */
function statFields(file: string): string[] | undefined {
  const text = readIfThere(file)
  return text === '' ? undefined : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** Empty where the folder is gone. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Waits until `check` answers true. @throws after `timeoutMs` */
export async function until(what: string, check: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (Date.now() < deadline) {
    if (await check().catch(() => false)) return
    await delay(50)
  }
  throw new Error(`${what} was not ready within ${timeoutMs / 1000} s`)
}
