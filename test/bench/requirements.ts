import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { installPackages, missingPackages } from '../debian-packages.ts'

/** What the bench runs beside Node, and its Debian packages. */
const packages = {
  nginx: ['nginx'],
  wrk: ['wrk'],
  h2load: ['nghttp2-client'],
  openssl: ['openssl'],
  taskset: ['util-linux'],
} as const

export const echoModule = '/usr/lib/nginx/modules/ngx_http_echo_module.so'

/** Installs what is missing where it may, else names it in one line and throws. */
export function ensureRequirements(): void {
  const missing = missingPackages(packages)
  if (!existsSync(echoModule)) missing.push('libnginx-mod-http-echo')
  installPackages('The bench', missing)
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
