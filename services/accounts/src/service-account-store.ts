import type { Db } from './db/schema.ts'
import { notFound } from './errors.ts'

/** A program that owns keys. */
export interface ServiceAccount {
  service_account_id: string
  project_id: string
  name: string
  description: string
  team_id: string | null
  metadata: Record<string, string>
  annotations: Record<string, string>
  created_at: Date
  disabled_at: Date | null
}

/** What may be set of a service account. */
export interface ServiceAccountSettings {
  name: string
  description: string
  teamId: string | null
  metadata: Record<string, string>
  annotations: Record<string, string>
}

const columns = [
  'service_account_id',
  'project_id',
  'name',
  'description',
  'team_id',
  'metadata',
  'annotations',
  'created_at',
  'disabled_at',
] as const

export async function insertServiceAccount(
  db: Db,
  account: ServiceAccountSettings & { serviceAccountId: string; projectId: string; createdBy: string; at: Date },
): Promise<void> {
  await db
    .insertInto('service_accounts')
    .values({
      service_account_id: account.serviceAccountId,
      project_id: account.projectId,
      created_by: account.createdBy,
      created_at: account.at,
      disabled_at: null,
      ...toColumns(account),
    })
    .execute()
}

export async function updateServiceAccount(
  db: Db,
  serviceAccountId: string,
  settings: ServiceAccountSettings,
): Promise<void> {
  await db
    .updateTable('service_accounts')
    .set(toColumns(settings))
    .where('service_account_id', '=', serviceAccountId)
    .execute()
}

export async function markServiceAccountDisabled(db: Db, serviceAccountId: string, at: Date): Promise<void> {
  await db
    .updateTable('service_accounts')
    .set({ disabled_at: at })
    .where('service_account_id', '=', serviceAccountId)
    .execute()
}

/** The service accounts of a project behind an id. */
export function listServiceAccounts(
  db: Db,
  projectId: string,
  options: { text: string | undefined; withDisabled: boolean; after: string | undefined; limit: number },
): Promise<ServiceAccount[]> {
  const { text, after } = options
  const pattern = `%${(text ?? '').toLowerCase().replaceAll(/[\\%_]/g, match => `\\${match}`)}%`
  return db
    .selectFrom('service_accounts')
    .select(columns)
    .where('project_id', '=', projectId)
    .$if(!options.withDisabled, query => query.where('disabled_at', 'is', null))
    .$if(text !== undefined, query => query.where(({ eb, fn }) => eb(fn<string>('lower', ['name']), 'like', pattern)))
    .$if(after !== undefined, query => query.where('service_account_id', '>', after ?? ''))
    .orderBy('service_account_id')
    .limit(options.limit)
    .execute()
}

/** A service account by its id, or by its name where it is not disabled: both name it in paths. */
export function findServiceAccount(db: Db, projectId: string, idOrName: string): Promise<ServiceAccount | undefined> {
  return db
    .selectFrom('service_accounts')
    .select(columns)
    .where('project_id', '=', projectId)
    .where(({ eb, or, and, fn }) =>
      or([
        eb('service_account_id', '=', idOrName),
        and([eb('disabled_at', 'is', null), eb(fn<string>('lower', ['name']), '=', idOrName.toLowerCase())]),
      ]),
    )
    .executeTakeFirst()
}

/** One that is not disabled, with its project locked. @throws AppError 404 */
export async function findActiveServiceAccount(db: Db, projectId: string, idOrName: string): Promise<ServiceAccount> {
  const account = await findServiceAccount(db, projectId, idOrName)
  if (!account || account.disabled_at) throw notFound()
  return account
}

/** How many of a project are not disabled. */
export async function countServiceAccounts(db: Db, projectId: string): Promise<number> {
  const row = await db
    .selectFrom('service_accounts')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('project_id', '=', projectId)
    .where('disabled_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** How many that are not disabled a team pays for. */
export async function countServiceAccountsOfTeam(db: Db, teamId: string): Promise<number> {
  const row = await db
    .selectFrom('service_accounts')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('team_id', '=', teamId)
    .where('disabled_at', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

function toColumns(settings: ServiceAccountSettings) {
  return {
    name: settings.name,
    description: settings.description,
    team_id: settings.teamId,
    metadata: JSON.stringify(settings.metadata),
    annotations: JSON.stringify(settings.annotations),
  }
}
