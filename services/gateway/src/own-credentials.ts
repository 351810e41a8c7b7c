import { readFileSync, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CredentialSource } from '@sluice/contracts'

export interface OwnCredentialsOptions {
  environment: Readonly<Record<string, string | undefined>>
  /** Where files of credentials are; undefined: there are none. */
  directory: string | undefined
  /** A file has another content than when it was read. */
  onChange: () => void
  /** How often files that were read are looked at. */
  watchMs?: number
}

/** Credentials at providers that stand with the gateway, in its environment or in files, and not in any database. */
export interface OwnCredentials {
  /** Undefined where it is missing or empty. What surrounds it as white space does not count. */
  read: (source: CredentialSource) => string | undefined
  close: () => void
}

/**
 * Integrations name them, and only operators write that: names of variables begin with `GATEWAY_CREDENTIAL_`, names of files have
 * no folder, so that nothing else of this process can be sent to an address of a project.
 */
export function openOwnCredentials(options: OwnCredentialsOptions): OwnCredentials {
  const { environment, directory, onChange, watchMs = 2_000 } = options
  const read = new Map<string, number>()

  async function look(): Promise<void> {
    for (const [path, mtimeMs] of read)
      if ((await mtimeOf(path)) !== mtimeMs) {
        read.clear()
        return onChange()
      }
  }
  const timer = setInterval(() => void look(), watchMs).unref()

  return {
    read(source) {
      if ('env' in source) return cleaned(environment[source.env])
      if (directory === undefined) return undefined
      const path = join(directory, source.file)
      try {
        // Before it is read: what changes meanwhile is then seen as a change.
        const { mtimeMs } = statSync(path)
        const text = readFileSync(path, 'utf8')
        read.set(path, mtimeMs)
        return cleaned(text)
      } catch {
        read.set(path, missing)
        return undefined
      }
    },
    close: () => clearInterval(timer),
  }
}

const missing = -1

async function mtimeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch {
    return missing
  }
}

/** Printable ASCII alone can be a header. */
function cleaned(text: string | undefined): string | undefined {
  const credential = text?.trim()
  return credential !== undefined && /^[\x21-\x7e]{1,4096}$/.test(credential) ? credential : undefined
}
