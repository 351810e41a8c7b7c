import { announceSession, withdraw } from './announcement.ts'
import { announceKeyChanges, listKeyIdsOfMembers } from './api-key-store.ts'
import type { Change } from './change-store.ts'
import { readSessionsOfMembers } from './session-store.ts'
import { withinAccount } from './tenant-scope-store.ts'

/**
 * Announces what members' sessions and keys may do now, with the members locked, and with the project, or every project of
 * the account where none is named. The rights are in force everywhere as soon as this has arrived. Takes as many statements
 * for many as for one.
 */
export async function announceMemberRights(
  change: Change,
  memberIds: readonly string[],
  projectId?: string,
): Promise<void> {
  await announceSessionsOf(change, memberIds)
  await announceKeyChanges(change, await listKeyIdsOfMembers(change.trx, memberIds, projectId))
}

/** Announces what the sessions of members may do now, in all projects of their account. */
export async function announceSessionsOf(change: Change, memberIds: readonly string[]): Promise<void> {
  const sessions = await withinAccount(change.trx, () => readSessionsOfMembers(change.trx, memberIds))
  await change.announce(
    sessions.map(({ tokenHash, document }) =>
      document ? announceSession(tokenHash, document) : withdraw('sessions', tokenHash),
    ),
  )
}
