import { spawnSync } from 'node:child_process'
import { chownSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { StackError } from './stack-error.ts'

/** How to run a program that refuses to run as root. */
export interface RunAs {
  /** Goes before the command. */
  prefix: readonly string[]
  uid?: number
  gid?: number
  /** Owner its data directory must have on disk; undefined: as it is. */
  owner?: { uid: number; gid: number }
}

/**
 * PostgreSQL refuses root. Anybody else runs it as they are. Root runs it as an unprivileged user of this machine if that
 * user can reach every one of `paths`; below a private folder it cannot, then in a user namespace in which root's
 * own files belong to an unprivileged id. Where neither works the sentence says what does.
 */
export function chooseRunAs(paths: readonly string[]): RunAs {
  if (process.getuid?.() !== 0) return { prefix: [] }
  const user = findUnprivilegedUser(readFileSync('/etc/passwd', 'utf8'))
  if (user && paths.every(isOpenToAll)) return { prefix: [], ...user, owner: user }
  const mapped = user ?? { uid: 65534, gid: 65534 }
  const prefix = ['unshare', '--user', `--map-user=${mapped.uid}`, `--map-group=${mapped.gid}`, '--']
  if (spawnSync('unshare', [...prefix.slice(1), 'true'], { stdio: 'ignore' }).status === 0)
    return { prefix, owner: { uid: 0, gid: 0 } }
  const closed = paths.find(path => !isOpenToAll(path)) ?? '/'
  throw new StackError(
    `PostgreSQL does not run as root, and no other user can reach ${closed} (a private folder). ` +
      'Start as an ordinary user, or move the checkout and SLUICE_HOME to a folder open to all (chmod 711), or set DATABASE_URL.',
  )
}

/** Gives a directory and all in it to an owner, where they are not its already. */
export function giveTo(path: string, owner: { uid: number; gid: number }): void {
  if (lstatSync(path).uid !== owner.uid) changeOwner(path, owner)
}

function changeOwner(path: string, owner: { uid: number; gid: number }): void {
  const stats = lstatSync(path)
  if (stats.isSymbolicLink()) return
  if (stats.isDirectory()) for (const name of readdirSync(path)) changeOwner(join(path, name), owner)
  // The directory last: its owner is what says that all of it is done.
  chownSync(path, owner.uid, owner.gid)
}

/** The `postgres` user of the system, else `nobody`. The program looks its user up by id, so it must be a listed one. */
export function findUnprivilegedUser(passwd: string): { uid: number; gid: number } | undefined {
  const users = new Map<string, { uid: number; gid: number }>()
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':')
    if (name && uid && gid) users.set(name, { uid: Number(uid), gid: Number(gid) })
  }
  return users.get('postgres') ?? users.get('nobody')
}

function isOpenToAll(path: string): boolean {
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}
