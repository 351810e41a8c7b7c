import { randomBytes } from 'node:crypto'
import { uuidv7 } from 'uuidv7'
import type { Change } from './change-store.ts'
import { auditedSettings } from './project-settings.ts'
import { announceProjectChange, insertProject, lockProject, type ProjectSummary } from './project-store.ts'

/** Makes a project, with its audit entry and announcement. */
export async function createProject(
  change: Change,
  project: { accountId: string; name: string; ownerId: string; settings: Record<string, unknown> },
): Promise<ProjectSummary> {
  const projectId = uuidv7()
  await insertProject(change.trx, { ...project, projectId, projectKey: randomBytes(8).toString('hex') })
  await announceProjectChange(change, projectId)
  await change.audit({
    action: 'project.created',
    target: projectId,
    projectId,
    after: { name: project.name, settings: auditedSettings(project.settings) },
  })
  return lockProject(change.trx, projectId)
}
