import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { checkOf, Type } from '@sluice/contracts'
import type { Installation } from './bootstrap-installation.ts'

const keptKey = checkOf(Type.Object({ api_key: Type.String({ minLength: 1 }) }))

/** The key that an earlier run has kept; undefined where the file is absent or holds none. */
export function readKeptKey(path: string): string | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const kept: unknown = JSON.parse(text)
    return keptKey.matches(kept) ? kept.api_key : undefined
  } catch {
    return undefined
  }
}

/** Keeps an installation where only its owner may read it. Written beside and moved: a crash leaves the old or the new. */
export function keepInstallation(path: string, installation: Installation): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(installation, null, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(draft, path)
}
