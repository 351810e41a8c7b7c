import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { identifyProcess, isSameProcess, parseIdentity } from './process-identity.ts'
import { StackError } from './stack-error.ts'

/** Changes when an older program could not read what a newer one wrote. */
const layout = 1
const minimumFreeBytes = 512 * 1024 ** 2

/** Makes the folder that holds everything kept, or checks that it is ours and has room. @throws StackError */
export function openHome(home: string): void {
  try {
    // Root's PostgreSQL runs as another user and must pass through; every secret in it is a 0600 file.
    mkdirSync(home, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
  } catch (cause) {
    throw new StackError(`${home} cannot be made (${codeOf(cause)}). Set SLUICE_HOME to a folder you may write to.`, {
      cause,
    })
  }
  const marker = join(home, 'sluice.json')
  if (!existsSync(marker)) {
    if (readdirSync(home).some(name => name !== 'lock'))
      throw new StackError(`${home} holds files that are not Sluice's. Set SLUICE_HOME to an empty folder.`)
    checkRoom(home)
    write(marker, `${JSON.stringify({ layout })}\n`)
  }
  const kept = readLayout(marker)
  if (kept !== layout)
    throw new StackError(
      `${home} was written by another version of Sluice (layout ${kept}, this one reads ${layout}). Run that version, or set SLUICE_HOME to an empty folder.`,
    )
  checkRoom(home)
  mkdirSync(join(home, 'logs'), { recursive: true, mode: 0o700 })
}

/** Holds the folder for this process. @throws StackError that says who holds it */
export function lockHome(home: string, url: string): { release: () => void } {
  const path = join(home, 'lock')
  const identity = identifyProcess(process.pid)
  const content = JSON.stringify({ ...identity, url, since: new Date().toISOString() })
  for (let tries = 0; tries < 3; tries++) {
    try {
      writeFileSync(path, content, { flag: 'wx', mode: 0o600 })
      return { release: () => rmSync(path, { force: true }) }
    } catch (cause) {
      if (codeOf(cause) !== 'EEXIST') throw spaceError(home, cause)
    }
    const kept = readOr(path, '')
    const holder = parseIdentity(kept)
    if (holder && isSameProcess(holder))
      throw new StackError(
        `Sluice already runs from ${home}: process ${holder.pid}, since ${String(holder.since)}, at ${String(holder.url)}. ` +
          'Stop it, or set SLUICE_HOME and SLUICE_PORT for a second one.',
      )
    takeAway(path, kept)
  }
  throw new StackError(`${path} cannot be held: another start is under way.`)
}

/** Removes the lock of a holder that was killed, unless another start has done so and holds it by now. */
function takeAway(path: string, stale: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    if (readOr(aside, stale) !== stale) linkSync(aside, path)
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT' && codeOf(cause) !== 'EEXIST') throw cause
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Writes a file of the home that only its owner may read. @throws StackError where the disk is full */
export function write(path: string, content: string): void {
  try {
    writeFileSync(path, content, { mode: 0o600, flush: true })
    chmodSync(path, 0o600)
  } catch (cause) {
    throw spaceError(path, cause)
  }
}

/** Turns "no space left" into a sentence; anything else stays what it is. */
export function spaceError(path: string, cause: unknown): unknown {
  const code = codeOf(cause)
  if (saysNoSpace(cause))
    return new StackError(`The disk that holds ${path} is full. Free some space, then start again; nothing is lost.`, {
      cause,
    })
  if (code === 'EROFS' || code === 'EACCES')
    return new StackError(`${path} cannot be written (${code}). Set SLUICE_HOME to a folder you may write to.`, {
      cause,
    })
  return cause
}

/** In a code of ours, or in what a program said that we ran. */
function saysNoSpace(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  const code = codeOf(cause)
  return (
    code === 'ENOSPC' ||
    code === 'EDQUOT' ||
    // The last one is NATS's: it says no more where it can make no file, and in a folder of ours nothing else keeps it from that.
    /no space left on device|ENOSPC|error creating store/i.test(cause.message) ||
    saysNoSpace(cause.cause)
  )
}

function checkRoom(home: string): void {
  const { bavail, bsize } = statfsSync(home)
  const free = bavail * bsize
  if (free < minimumFreeBytes)
    throw new StackError(
      `There are ${Math.floor(free / 1024 ** 2)} MB free on the disk of ${home}, and at least ${minimumFreeBytes / 1024 ** 2} MB are needed. ` +
        'Free some space, or set SLUICE_HOME to another disk.',
    )
}

function readLayout(marker: string): unknown {
  try {
    const value: unknown = JSON.parse(readFileSync(marker, 'utf8'))
    return typeof value === 'object' && value !== null && 'layout' in value ? value.layout : 'unknown'
  } catch {
    return 'unknown'
  }
}

function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return fallback
  }
}

function codeOf(cause: unknown): string | undefined {
  return cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined
}
