import { type Bus, followBucket } from '@sluice/bus'
import { Key, Project, Session } from '@sluice/contracts'
import type { Logger, RestCredentialViews } from '@sluice/runtime'

/**
 * Who may call: keys, sessions and the accounts of projects in memory, as accounts publishes them. Milliseconds old while
 * the bus is there; without it, as old as the outage: a credential revoked meanwhile still reads its own project's balance.
 */
export interface CredentialsView extends RestCredentialViews {
  close(): Promise<void>
}

export async function followCredentials(bus: Bus, log: Logger): Promise<CredentialsView> {
  const keyIdByHash = new Map<string, string>()
  const hashesByKeyId = new Map<string, readonly string[]>()
  const keys = await followBucket(bus, 'keys', Key, {
    log,
    onChange: (keyId, key) => {
      for (const hash of hashesByKeyId.get(keyId) ?? []) keyIdByHash.delete(hash)
      const hashes = key?.secrets.map(secret => secret.hash) ?? []
      for (const hash of hashes) keyIdByHash.set(hash, keyId)
      if (key) hashesByKeyId.set(keyId, hashes)
      else hashesByKeyId.delete(keyId)
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
