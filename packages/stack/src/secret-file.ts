import { randomBytes } from 'node:crypto'
import { chmodSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

/** The secret kept in a file that only its owner may read; made with `create` when the file is absent. */
export function readOrCreateSecret(path: string, create: () => string = newPassword): string {
  try {
    const kept = readFileSync(path, 'utf8').trim()
    if (kept !== '') {
      chmodSync(path, 0o600)
      return kept
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const secret = create()
  // Written beside it and linked: a crash leaves no half of a secret, and of two writers one wins.
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  writeFileSync(draft, `${secret}\n`, { mode: 0o600, flush: true })
  try {
    rmIfEmpty(path)
    linkSync(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return readFileSync(path, 'utf8').trim()
  } finally {
    rmSync(draft, { force: true })
  }
  return secret
}

/** 192 random bits, safe in URLs, shells and configuration files. */
export function newPassword(): string {
  return randomBytes(24).toString('base64url').replaceAll('-', 'a').replaceAll('_', 'b')
}

function rmIfEmpty(path: string): void {
  try {
    if (readFileSync(path, 'utf8').trim() === '') rmSync(path)
  } catch {
    // Absent: nothing to clear.
  }
}
