import { type Bus, followBucket } from '@sluice/bus'
import { Key, type Key as KeyDocument, Project, Session } from '@sluice/contracts'
import type { Logger, RestCredentialViews } from '@sluice/runtime'

/** Who may ask, in memory: keys, sessions and projects as accounts has them. */
export interface CredentialsView extends RestCredentialViews {
  /** Every project of an account. */
  projectsOfAccount: (accountId: string) => string[]
  close: () => Promise<void>
}

/**
 * Follows the three buckets. A change is here within milliseconds; while the bus is away the last state is used, so a
 * revocation waits for the bus.
 */
export async function followCredentials(bus: Bus, log: Logger): Promise<CredentialsView> {
  const keyByHash = new Map<string, KeyDocument>()
  const hashesOfKey = new Map<string, string[]>()
  const onKey = (keyId: string, key: KeyDocument | undefined) => {
    for (const hash of hashesOfKey.get(keyId) ?? []) keyByHash.delete(hash)
    hashesOfKey.delete(keyId)
    if (!key) return
    hashesOfKey.set(
      keyId,
      key.secrets.map(secret => secret.hash),
    )
    for (const secret of key.secrets) keyByHash.set(secret.hash, key)
  }
  const keys = await followBucket(bus, 'keys', Key, { onChange: onKey, log })
  const sessions = await followBucket(bus, 'sessions', Session, { log })
  const projects = await followBucket(bus, 'projects', Project, { log })
  return {
    findKeyByHash: hash => keyByHash.get(hash),
    findSessionByHash: hash => sessions.get(hash),
    accountOfProject: projectId => projects.get(projectId)?.account_id,
    projectsOfAccount: accountId =>
      [...projects.values()].filter(project => project.account_id === accountId).map(project => project.project_id),
    close: async () => {
      await Promise.all([keys.close(), sessions.close(), projects.close()])
    },
  }
}
