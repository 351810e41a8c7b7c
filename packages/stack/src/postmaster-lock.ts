import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identifyProcess } from './process-identity.ts'
import { StackError } from './stack-error.ts'

/** Above every process id a system gives out. */
const nobody = '99999999'

/**
 * PostgreSQL refuses a data directory whose `postmaster.pid` names an id that anybody has: another program that got the id
 * since, or the dead postmaster itself until its parent has asked for its end. Where it is not a server on this very
 * directory the id is struck out. The rest of the file stays: from it PostgreSQL finds out whether a session of the
 * dead one still writes.
 * @throws StackError where a server runs on the directory
 */
export function releasePostmasterLock(data: string): void {
  const path = join(data, 'postmaster.pid')
  let lines: string[]
  try {
    lines = readFileSync(path, 'utf8').split('\n')
  } catch {
    return
  }
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 0 || lines[0] === nobody) return
  if (identifyProcess(pid) !== undefined && readCommand(pid).includes(data))
    throw new StackError(`PostgreSQL already runs on ${data}: process ${pid}. End it, then start again.`)
  // Written in place: the file keeps its owner.
  writeFileSync(path, [nobody, ...lines.slice(1)].join('\n'))
}

function readCommand(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'args=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    return ''
  }
}
