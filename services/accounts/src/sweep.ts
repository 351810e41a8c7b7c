import { withdraw } from './announcement.ts'
import { takeKeysToWithdraw } from './api-key-store.ts'
import type { Actor, Changes } from './change-store.ts'
import { beginAndEndMemberships } from './due-memberships.ts'
import { deleteAnswers } from './kept-answer-store.ts'
import { deleteExpiredPasswordLinks } from './password-link-store.ts'
import { deleteExpiredSessions } from './session-store.ts'

const actor: Actor = { kind: 'system', id: 'sweep', accountId: '' }
/** How long a revoked key stays in KV: longer than a gateway may trust a view it cannot refresh. */
const revokedKeyMs = 60 * 60_000
/** How long an answer may be asked for again. */
const keptAnswerMs = 24 * 60 * 60_000

/**
 * Lets memberships begin and end whose time has come, and takes out what nobody can use any more: keys revoked an hour ago,
 * sessions, links and kept answers whose time is over.
 */
export async function sweep(changes: Changes): Promise<void> {
  await changes.make(actor, async change => {
    const keyIds = await takeKeysToWithdraw(change.trx, new Date(change.nowMs - revokedKeyMs), new Date(change.nowMs))
    await deleteExpiredPasswordLinks(change.trx, new Date(change.nowMs))
    await deleteAnswers(change.trx, new Date(change.nowMs - keptAnswerMs))
    const hashes = await deleteExpiredSessions(change.trx, new Date(change.nowMs))
    await change.announce([
      ...keyIds.map(keyId => withdraw('keys', keyId)),
      ...hashes.map(tokenHash => withdraw('sessions', tokenHash)),
    ])
  })
  await beginAndEndMemberships(changes)
}
