import { errorOf } from '@sluice/runtime'
import { announceSessionsOf } from './announce-member.ts'
import { announceKeyChanges, listAnnouncedKeyIds } from './api-key-store.ts'
import type { Change } from './change-store.ts'
import { errors } from './errors.ts'
import { listMemberIdsOfProject } from './project-member-store.ts'
import { announceProjectChange, findProject, lockProject, markProjectDeleted } from './project-store.ts'

const keysAtATime = 500

/**
 * Deletes a project: its calls end and its keys may do nothing any more, at once; nobody finds it again. What it has used stays in
 * the ledger. @throws AppError 404 where the account has no such project
 */
export async function deleteProject(change: Change, accountId: string, projectId: string): Promise<void> {
  const known = await findProject(change.trx, projectId)
  if (known?.account_id !== accountId)
    throw errorOf(errors.notFound, { message: 'No project of your account has this id.' })
  const { name } = await lockProject(change.trx, projectId)
  await markProjectDeleted(change.trx, projectId, new Date(change.nowMs))
  await announceProjectChange(change, projectId)
  let after: string | undefined
  for (;;) {
    const keyIds = await listAnnouncedKeyIds(change.trx, projectId, { after, limit: keysAtATime })
    await announceKeyChanges(change, keyIds)
    if (keyIds.length < keysAtATime) break
    after = keyIds.at(-1)
  }
  await announceSessionsOf(change, await listMemberIdsOfProject(change.trx, projectId))
  await change.audit({ action: 'project.deleted', target: projectId, projectId, before: { name } })
}
