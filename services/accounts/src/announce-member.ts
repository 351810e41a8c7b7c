import { announceSession, withdraw } from './announcement.ts'
import { announceKeyChanges, listKeyIdsOfMember } from './api-key-store.ts'
import type { Change } from './change-store.ts'
import { findSession, listSessionHashesOfMember } from './session-store.ts'
import { withinAccount } from './tenant-scope-store.ts'

/**
 * Announces what a member's sessions and keys may do now, with the member locked, and with the project, or every project of
 * the account where none is named. The rights are in force everywhere as soon as this has arrived.
 */
export async function announceMemberRights(change: Change, memberId: string, projectId?: string): Promise<void> {
  await withinAccount(change.trx, async () => {
    for (const tokenHash of await listSessionHashesOfMember(change.trx, memberId)) {
      const document = await findSession(change.trx, tokenHash)
      await change.announce([document ? announceSession(tokenHash, document) : withdraw('sessions', tokenHash)])
    }
  })
  await announceKeyChanges(change, await listKeyIdsOfMember(change.trx, memberId, projectId))
}
