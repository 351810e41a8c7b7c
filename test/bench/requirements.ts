import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** What the bench runs beside Node, by Debian package. */
const packages = {
  nginx: 'nginx',
  wrk: 'wrk',
  h2load: 'nghttp2-client',
  openssl: 'openssl',
  taskset: 'util-linux',
} as const

export const echoModule = '/usr/lib/nginx/modules/ngx_http_echo_module.so'

/** Installs what is missing where it may, else names it in one line and throws. */
export function ensureRequirements(): void {
  const missing: string[] = Object.entries(packages)
    .filter(([command]) => !isInPath(command))
    .map(([, name]) => name)
  if (!existsSync(echoModule)) missing.push('libnginx-mod-http-echo')
  if (missing.length === 0) return
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...missing]
  if (process.getuid?.() !== 0) throw new Error(`The bench needs: sudo ${install.join(' ')}`)
  process.stderr.write(`${install.join(' ')}\n`)
  execFileSync('apt-get', ['update'], { stdio: ['ignore', 'ignore', 'inherit'] })
  // Without this Debian starts a server on port 80 the moment nginx is unpacked.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  execFileSync('apt-get', install.slice(1), { stdio: ['ignore', 'ignore', 'inherit'], env })
}

/** Installs the reference gateway with the versions its lock file names. */
export function ensurePortkey(): string {
  const folder = join(import.meta.dirname, 'portkey')
  const entry = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  if (!existsSync(entry))
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      stdio: ['ignore', 2, 2],
    })
  return entry
}

function isInPath(command: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some(folder => existsSync(join(folder, command)))
}
