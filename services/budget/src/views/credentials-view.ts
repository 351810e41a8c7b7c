import { type Bus, followBucket } from '@sluice/bus'
import { Key, Project, Session } from '@sluice/contracts'
import type { Logger, RestCredentialViews } from '@sluice/runtime'

/** Keys, sessions and projects in memory, kept current by watches: what authenticates management calls. */
export interface CredentialsView extends RestCredentialViews {
  close: () => Promise<void>
}

/** Stale by milliseconds while NATS is there; while it is away, what was known last goes on. */
export async function openCredentialsView(bus: Bus, log: Logger): Promise<CredentialsView> {
  const keyIdByHash = new Map<string, string>()
  const hashesByKeyId = new Map<string, string[]>()
  const keys = await followBucket(bus, 'keys', Key, {
    log,
    onChange: (keyId, key) => {
      for (const hash of hashesByKeyId.get(keyId) ?? []) keyIdByHash.delete(hash)
      hashesByKeyId.delete(keyId)
      if (!key) return
      const hashes = key.secrets.map(secret => secret.hash)
      hashesByKeyId.set(keyId, hashes)
      for (const hash of hashes) keyIdByHash.set(hash, keyId)
    },
  })
  const sessions = await followBucket(bus, 'sessions', Session, { log })
  const projects = await followBucket(bus, 'projects', Project, { log })
  return {
    findKeyByHash: hash => {
      const keyId = keyIdByHash.get(hash)
      return keyId === undefined ? undefined : keys.get(keyId)
    },
    findSessionByHash: hash => sessions.get(hash),
    accountOfProject: projectId => projects.get(projectId)?.account_id,
    close: async () => {
      await Promise.all([keys.close(), sessions.close(), projects.close()])
    },
  }
}
