import type { Key } from '@sluice/contracts'
import type { SecretBox } from '@sluice/runtime'
import { uuidv7 } from 'uuidv7'
import { newSecret } from './api-key.ts'
import { announceKeyChange, findSystemKeyId, insertApiKey, insertSecret, readKeyDocuments } from './api-key-store.ts'
import type { Actor, Changes } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { lockProject } from './project-store.ts'

/**
 * The key that signs what the server mints for a member of a project, or for nobody in particular; made when it is needed first.
 * Each member has one of their own, so that whatever ends or changes what a key of theirs may do does the same to their tokens,
 * everywhere and at once. Nobody has ever seen its value.
 */
export async function findSystemKey(
  deps: { db: Db; changes: Changes; box: SecretBox },
  actor: Actor,
  projectId: string,
  memberId: string | null,
): Promise<Key> {
  const known = await findSystemKeyId(deps.db, projectId, memberId)
  const keyId = known ?? (await createSystemKey(deps, actor, projectId, memberId))
  const [key] = await readKeyDocuments(deps.db, [keyId])
  if (!key) throw new Error('a system key has left KV')
  return key
}

function createSystemKey(
  deps: { changes: Changes; box: SecretBox },
  actor: Actor,
  projectId: string,
  memberId: string | null,
): Promise<string> {
  return deps.changes.make(actor, async change => {
    await lockProject(change.trx, projectId)
    const known = await findSystemKeyId(change.trx, projectId, memberId)
    if (known) return known
    const keyId = uuidv7()
    const { value: _, ...secret } = newSecret(deps.box, projectId, keyId)
    await insertApiKey(change.trx, {
      keyId,
      projectId,
      teamId: null,
      memberId,
      serviceAccountId: null,
      name: 'system',
      description: 'Signs what the server mints',
      role: 'member',
      models: null,
      ipRanges: null,
      kind: 'system',
      createdBy: 'system',
      expiresAt: null,
    })
    if (!(await insertSecret(change.trx, keyId, secret))) throw new Error('two secrets are the same')
    await announceKeyChange(change, keyId)
    await change.audit({ action: 'system-key.created', target: keyId, projectId, after: { member_id: memberId } })
    return keyId
  })
}
