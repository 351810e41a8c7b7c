import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const versions = { '@openai/codex': '0.169.0', '@anthropic-ai/claude-code': '2.1.332' }

/** Programs of the agents. */
export interface InstalledAgents {
  codex: string
  claude: string
}

/**
 * Installs the agents from npm, once: about 800 MB, kept below `.logs/`. No install script runs: Claude Code's program is
 * taken from its package of this platform.
 */
export async function installAgents(root: string): Promise<InstalledAgents> {
  const folder = join(root, '.logs', 'agents', Object.values(versions).join('-'))
  const modules = join(folder, 'node_modules')
  if (!existsSync(join(modules, '.package-lock.json'))) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: versions }))
    const options = { cwd: folder, timeout: 300_000 }
    await promisify(execFile)('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], options)
  }
  return {
    codex: join(modules, '.bin', 'codex'),
    claude: join(modules, '@anthropic-ai', `claude-code-${process.platform}-${process.arch}`, 'claude'),
  }
}
