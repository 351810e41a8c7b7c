import { withdraw } from './announcement.ts'
import type { Actor, Changes } from './change-store.ts'
import { deleteSession } from './session-store.ts'

/** Ends a session everywhere; one that has ended before is no error. */
export async function endSession(changes: Changes, actor: Actor, tokenHash: string): Promise<void> {
  await changes.make(actor, async change => {
    if (!(await deleteSession(change.trx, tokenHash))) return
    await change.announce([withdraw('sessions', tokenHash)])
    await change.audit({ action: 'session.ended', target: actor.id })
  })
}
