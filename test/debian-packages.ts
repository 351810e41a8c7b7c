import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The packages of those `commands` that are not in PATH; `commands` names the Debian packages of each. */
export function missingPackages(commands: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.entries(commands)
    .filter(([command]) => !isInPath(command))
    .flatMap(([, names]) => names)
}

/** Installs Debian packages where it may, else throws one line that says how. `who` needs them. */
export function installPackages(who: string, missing: readonly string[]): void {
  if (missing.length === 0) return
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...missing]
  if (process.getuid?.() !== 0) throw new Error(`${who} needs: sudo ${install.join(' ')}`)
  process.stderr.write(`${install.join(' ')}\n`)
  execFileSync('apt-get', ['update'], { stdio: ['ignore', 'ignore', 'inherit'] })
  // Without this Debian starts a server on port 80 the moment nginx is unpacked.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  execFileSync('apt-get', install.slice(1), { stdio: ['ignore', 'ignore', 'inherit'], env })
}

function isInPath(command: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some(folder => existsSync(join(folder, command)))
}
