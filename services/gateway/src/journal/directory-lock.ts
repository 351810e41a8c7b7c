import { mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Held until it is released or the process ends, however it ends. */
export interface DirectoryLock {
  release: () => void
}

const lockFile = 'lock'

/**
 * Takes the directory for this process; undefined while another process, or another journal of this one, has it.
 *
 * The lock is the operating system's (an exclusive SQLite transaction on an empty file is a POSIX lock): the system frees it
 * when the process ends, and not before. That is the proof that a journal's process has ended. A process id would be none:
 * siblings in containers do not see each other's processes.
 */
export function lockDirectory(directory: string): DirectoryLock | undefined {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const file = new DatabaseSync(join(directory, lockFile), { timeout: 0 })
  try {
    file.exec('begin exclusive')
  } catch (error) {
    file.close()
    if ((error as { errcode?: number }).errcode === 5) return undefined
    throw error
  }
  return { release: () => file.close() }
}

/** File systems whose locks another machine may hold or lose: NFS, SMB, CIFS, FUSE, Ceph, 9p, GFS2, Lustre, AFS. */
const sharedFileSystems: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x65735546, 0x00c36400, 0x01021997, 0x01161970, 0x0bd00bd0, 0x5346414f,
])

/**
 * Whether a lock in this directory says something about the process that had it. On a file system that several machines
 * share, a lock also goes away when the network does: silence, which proves nothing.
 */
export function lockIsProof(directory: string): boolean {
  return !sharedFileSystems.has(statfsSync(directory).type >>> 0)
}
