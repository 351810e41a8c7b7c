import { Key, Project, Session } from '@sluice/contracts'
import type { Logger, RestCredentialViews } from '@sluice/runtime'
import type { Bus } from './connect.ts'
import { followBucket } from './kv-view.ts'

/** Who may call a service's own routes: keys, sessions and projects in memory, as accounts publishes them. */
export interface CredentialsView extends RestCredentialViews {
  /** Every project of an account. */
  projectsOfAccount: (accountId: string) => string[]
  /** Teams of a project that a member owns. */
  teamsOwnedBy: (projectId: string, memberId: string) => string[]
  close: () => Promise<void>
}

/**
 * Follows the three buckets. A change is here within milliseconds; while the bus is away the last state is used, so a
 * revocation waits for the bus.
 * @param options.onProject told of each project, as it is at first and whenever it changes
 */
export async function followCredentials(
  bus: Bus,
  log: Logger,
  options: { onProject?: (project: Project) => void } = {},
): Promise<CredentialsView> {
  const keyIdByHash = new Map<string, string>()
  const hashesByKeyId = new Map<string, readonly string[]>()
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
  const projects = await followBucket(bus, 'projects', Project, {
    log,
    onChange: (_projectId, project) => project && options.onProject?.(project),
  })
  return {
    findKeyByHash: hash => {
      const keyId = keyIdByHash.get(hash)
      return keyId === undefined ? undefined : keys.get(keyId)
    },
    findSessionByHash: hash => sessions.get(hash),
    accountOfProject: projectId => projects.get(projectId)?.account_id,
    projectsOfAccount: accountId =>
      [...projects.values()].filter(project => project.account_id === accountId).map(project => project.project_id),
    teamsOwnedBy: (projectId, memberId) =>
      (projects.get(projectId)?.teams ?? [])
        .filter(team => team.owner_member_id === memberId)
        .map(team => team.team_id),
    close: async () => {
      await Promise.all([keys.close(), sessions.close(), projects.close()])
    },
  }
}
