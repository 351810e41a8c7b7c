import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Names one process for ever: a process id alone is used again by the system, together with these two it is not. */
export interface ProcessIdentity {
  pid: number
  /** When the process began, as the system writes it. */
  startedAt: string
  /** The run of the machine in which it began. */
  bootId: string
}

/** The identity of a running process; undefined when there is none with this id. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startTimeFromProc(pid) : startTimeFromPs(pid)
  return startedAt === undefined ? undefined : { pid, startedAt, bootId: readBootId() }
}

/** Whether that very process still runs. */
export function isSameProcess(identity: ProcessIdentity): boolean {
  const now = identifyProcess(identity.pid)
  return now !== undefined && now.startedAt === identity.startedAt && now.bootId === identity.bootId
}

/** Reads an identity somebody kept. Undefined where the text is not one. */
export function parseIdentity(json: string): (ProcessIdentity & Record<string, unknown>) | undefined {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value !== 'object' || value === null) return undefined
    const { pid, startedAt, bootId } = value as Record<string, unknown>
    if (!Number.isSafeInteger(pid) || typeof startedAt !== 'string' || typeof bootId !== 'string') return undefined
    return { ...value, pid: Number(pid), startedAt, bootId }
  } catch {
    return undefined
  }
}

function startTimeFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name, field 2, stands in parentheses and may hold anything; field 3 is the first after the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return undefined
    return fields[19]
  } catch {
    return undefined
  }
}

function startTimeFromPs(pid: number): string | undefined {
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
    return text === '' ? undefined : text
  } catch {
    return undefined
  }
}

let bootId: string | undefined

function readBootId(): string {
  if (bootId === undefined) {
    bootId =
      process.platform === 'linux'
        ? readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
        : execFileSync('sysctl', ['-n', 'kern.boottime'], { encoding: 'utf8' }).trim()
  }
  return bootId
}
