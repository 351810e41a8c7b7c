import type { Project } from '@sluice/contracts'
import { errorOf } from '@sluice/runtime'
import { announceProject, announceProjectChanged } from './announcement.ts'
import type { Change } from './change-store.ts'
import type { Db } from './db/schema.ts'
import { errors, notFound } from './errors.ts'
import { readIntegrationDocuments } from './integration-store.ts'
import { effectiveSettings } from './project-settings.ts'
import { toTeamDocument } from './team.ts'
import { listTeams, maxTeams } from './team-store.ts'

/** A project as its own members see it. */
export interface ProjectSummary {
  project_id: string
  account_id: string
  name: string
  project_key: string
  owner_id: string | null
  disabled: boolean
  allowed_models: string[] | null
  settings: Record<string, unknown>
  created_at: Date
}

const summary = [
  'project_id',
  'account_id',
  'name',
  'project_key',
  'owner_id',
  'disabled',
  'allowed_models',
  'settings',
  'created_at',
] as const

export function findProject(db: Db, projectId: string): Promise<ProjectSummary | undefined> {
  return db
    .selectFrom('projects')
    .select(summary)
    .where('project_id', '=', projectId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}

export function listProjectsOfAccount(db: Db, accountId: string): Promise<ProjectSummary[]> {
  return db
    .selectFrom('projects')
    .select(summary)
    .where('account_id', '=', accountId)
    .where('deleted_at', 'is', null)
    .orderBy('created_at')
    .execute()
}

/** Projects of an account behind an id: these, or all of them. */
export function listProjects(
  db: Db,
  accountId: string,
  options: { projectIds: readonly string[] | undefined; after: string | undefined; limit: number },
): Promise<ProjectSummary[]> {
  const { projectIds, after } = options
  if (projectIds?.length === 0) return Promise.resolve([])
  return db
    .selectFrom('projects')
    .select(summary)
    .where('account_id', '=', accountId)
    .where('deleted_at', 'is', null)
    .$if(projectIds !== undefined, query => query.where('project_id', 'in', projectIds ?? []))
    .$if(after !== undefined, query => query.where('project_id', '>', after ?? ''))
    .orderBy('project_id')
    .limit(options.limit)
    .execute()
}

export async function insertProject(
  db: Db,
  project: {
    projectId: string
    accountId: string
    name: string
    projectKey: string
    ownerId: string | null
    settings: Record<string, unknown>
  },
): Promise<void> {
  await db
    .insertInto('projects')
    .values({
      project_id: project.projectId,
      account_id: project.accountId,
      name: project.name,
      project_key: project.projectKey,
      // The announcement that follows an insertion makes it 1.
      version: 0,
      owner_id: project.ownerId,
      settings: JSON.stringify(project.settings),
      allowed_models: null,
      deleted_at: null,
    })
    .execute()
}

/**
 * Locks a project for the rest of the transaction. Whoever changes what its documents say does this first: the outbox then
 * holds the documents of a project in the order of their versions.
 * @throws AppError 404
 */
export async function lockProject(db: Db, projectId: string): Promise<ProjectSummary> {
  const row = await db
    .selectFrom('projects')
    .select(summary)
    .where('project_id', '=', projectId)
    .where('deleted_at', 'is', null)
    .forUpdate()
    .executeTakeFirst()
  if (!row) throw notFound()
  return row
}

/** Locks a project as {@link lockProject} does, one that was deleted too: gateways have documents of it. */
export async function lockAnnouncedProject(db: Db, projectId: string): Promise<void> {
  await db.selectFrom('projects').select('project_id').where('project_id', '=', projectId).forUpdate().execute()
}

/** Locks every project of an account, in the order of their ids. */
export async function lockProjectsOfAccount(db: Db, accountId: string): Promise<void> {
  await db
    .selectFrom('projects')
    .select('project_id')
    .where('account_id', '=', accountId)
    .orderBy('project_id')
    .forUpdate()
    .execute()
}

/** Disables a project for good, and shows it to nobody any more. */
export async function markProjectDeleted(db: Db, projectId: string, at: Date): Promise<void> {
  await db.updateTable('projects').set({ disabled: true, deleted_at: at }).where('project_id', '=', projectId).execute()
}

export async function updateProjectSettings(
  db: Db,
  projectId: string,
  settings: Record<string, unknown>,
): Promise<void> {
  await db
    .updateTable('projects')
    .set({ settings: JSON.stringify(settings) })
    .where('project_id', '=', projectId)
    .execute()
}

export async function updateAllowedModels(
  db: Db,
  projectId: string,
  allowedModels: readonly string[] | null,
): Promise<void> {
  await db
    .updateTable('projects')
    .set({ allowed_models: allowedModels && JSON.stringify(allowedModels) })
    .where('project_id', '=', projectId)
    .execute()
}

/** NATS takes messages of 1 MB. */
const maxDocumentBytes = 900_000

/** The document that gateways follow, from the project, its teams and its integrations. */
export async function readProjectDocument(db: Db, projectId: string): Promise<Project> {
  const row = await db
    .selectFrom('projects')
    .select([...summary, 'version'])
    .where('project_id', '=', projectId)
    .executeTakeFirst()
  if (!row) throw notFound()
  const teams = await listTeams(db, projectId, { at: new Date(), withClosed: false, after: undefined, limit: maxTeams })
  return {
    project_id: row.project_id,
    version: row.version,
    account_id: row.account_id,
    name: row.name,
    disabled: row.disabled,
    allowed_models: row.allowed_models,
    integrations: await readIntegrationDocuments(db, projectId),
    ...effectiveSettings(row.settings),
    teams: teams.map(toTeamDocument),
  }
}

/** Gives the project its next version and announces it. Call it last, with the project locked or just inserted. */
export async function announceProjectChange(change: Change, projectId: string): Promise<void> {
  await change.trx
    .updateTable('projects')
    .set(({ eb }) => ({ version: eb('version', '+', 1) }))
    .where('project_id', '=', projectId)
    .execute()
  const document = await readProjectDocument(change.trx, projectId)
  const { project_id, account_id, version } = document
  const announcement = announceProject(document)
  if (Buffer.byteLength(announcement.payload) > maxDocumentBytes) throw errorOf(errors.projectTooLarge)
  await change.announce([
    announcement,
    announceProjectChanged({ project_id, account_id, version, at_ms: change.nowMs }),
  ])
}

export function listProjectIds(db: Db): Promise<string[]> {
  return db
    .selectFrom('projects')
    .select('project_id')
    .orderBy('project_id')
    .execute()
    .then(rows => rows.map(row => row.project_id))
}
