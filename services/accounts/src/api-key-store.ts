import {
  type Bundle,
  type Envelope,
  type Key,
  type Permission,
  permissionsOf,
  type Role,
  rolePermissions,
} from '@sluice/contracts'
import { sql } from 'kysely'
import { announceKey } from './announcement.ts'
import type { Change } from './change-store.ts'
import type { Db } from './db/schema.ts'

/** A key as lists show it: never its secret. */
export interface ApiKeySummary {
  key_id: string
  name: string
  description: string
  role: Role
  team_id: string | null
  member_id: string | null
  service_account_id: string | null
  models: string[] | null
  created_by: string
  created_at: Date
  expires_at: Date | null
}

export interface NewApiKeyRow {
  keyId: string
  projectId: string
  teamId: string | null
  memberId: string | null
  serviceAccountId: string | null
  name: string
  description: string
  role: Role
  models: readonly string[] | null
  createdBy: string
  expiresAt: Date | null
  secretId: string
  hash: string
  envelope: Envelope
}

export async function insertApiKey(db: Db, key: NewApiKeyRow): Promise<void> {
  await db
    .insertInto('api_keys')
    .values({
      key_id: key.keyId,
      project_id: key.projectId,
      version: 0,
      team_id: key.teamId,
      member_id: key.memberId,
      service_account_id: key.serviceAccountId,
      name: key.name,
      description: key.description,
      role: key.role,
      models: key.models && JSON.stringify(key.models),
      created_by: key.createdBy,
      expires_at: key.expiresAt,
      revoked_at: null,
      withdrawn_at: null,
    })
    .execute()
  await db
    .insertInto('api_key_secrets')
    .values({
      secret_id: key.secretId,
      key_id: key.keyId,
      hash: key.hash,
      envelope: JSON.stringify(key.envelope),
      expires_at: null,
    })
    .execute()
}

/** The keys of a project that are not revoked, behind an id. */
export function listApiKeys(
  db: Db,
  projectId: string,
  page: { after: string | undefined; limit: number },
): Promise<ApiKeySummary[]> {
  return db
    .selectFrom('api_keys')
    .select([
      'key_id',
      'name',
      'description',
      'role',
      'team_id',
      'member_id',
      'service_account_id',
      'models',
      'created_by',
      'created_at',
      'expires_at',
    ])
    .where('project_id', '=', projectId)
    .where('revoked_at', 'is', null)
    .$if(page.after !== undefined, query => query.where('key_id', '>', page.after ?? ''))
    .orderBy('key_id')
    .limit(page.limit)
    .execute()
}

/** Marks a key revoked; false where the project has no such key, or it was revoked before. */
export async function markRevoked(db: Db, projectId: string, keyId: string, at: Date): Promise<boolean> {
  const result = await db
    .updateTable('api_keys')
    .set({ revoked_at: at })
    .where('project_id', '=', projectId)
    .where('key_id', '=', keyId)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return result.numUpdatedRows === 1n
}

/** Documents of keys, by their ids; those that are not in KV any more are left out. */
export async function readKeyDocuments(db: Db, keyIds: readonly string[]): Promise<Key[]> {
  if (keyIds.length === 0) return []
  const rows = await db
    .selectFrom('api_keys')
    .innerJoin('projects', 'projects.project_id', 'api_keys.project_id')
    .leftJoin('members', 'members.member_id', 'api_keys.member_id')
    .leftJoin('service_accounts', 'service_accounts.service_account_id', 'api_keys.service_account_id')
    .leftJoin('project_members', join =>
      join
        .onRef('project_members.project_id', '=', 'api_keys.project_id')
        .onRef('project_members.member_id', '=', 'api_keys.member_id'),
    )
    .select(({ selectFrom }) => [
      'api_keys.key_id',
      'api_keys.version',
      'api_keys.project_id',
      'projects.account_id',
      'api_keys.team_id',
      'api_keys.member_id',
      'api_keys.service_account_id',
      'api_keys.name',
      'api_keys.role',
      'api_keys.models',
      'api_keys.expires_at',
      'api_keys.revoked_at',
      'service_accounts.team_id as service_account_team_id',
      'service_accounts.disabled_at as service_account_disabled_at',
      'members.account_admin as member_account_admin',
      'members.disabled_at as member_disabled_at',
      'project_members.role as member_role',
      'project_members.roles as member_roles',
      'project_members.default_team_id as member_default_team_id',
      selectFrom('team_members')
        .select(sql<string[]>`array_agg(team_members.team_id order by team_members.team_id)`.as('ids'))
        .whereRef('team_members.project_id', '=', 'api_keys.project_id')
        .whereRef('team_members.member_id', '=', 'api_keys.member_id')
        .where('team_members.valid_to', 'is', null)
        .as('member_team_ids'),
    ])
    .where('api_keys.key_id', 'in', keyIds)
    .where('api_keys.withdrawn_at', 'is', null)
    .execute()
  const secrets = await db
    .selectFrom('api_key_secrets')
    .select(['secret_id', 'key_id', 'hash', 'envelope', 'expires_at'])
    .where('key_id', 'in', keyIds)
    .orderBy('created_at', 'desc')
    .orderBy('secret_id', 'desc')
    .execute()
  return rows.map(row => ({
    key_id: row.key_id,
    version: row.version,
    project_id: row.project_id,
    account_id: row.account_id,
    ...teamOf(row.team_id ?? row.service_account_team_id),
    ...(row.member_id === null ? {} : { member_id: row.member_id }),
    ...(row.service_account_id === null ? {} : { service_account_id: row.service_account_id }),
    ...(row.service_account_disabled_at === null ? {} : { permissions: [] }),
    name: row.name,
    role: row.role,
    ...(row.member_id === null
      ? {}
      : { permissions: ownedPermissions(row.role, row), member_team_ids: row.member_team_ids ?? [] }),
    ...(row.member_default_team_id === null ? {} : { member_default_team_id: row.member_default_team_id }),
    ...(row.models === null ? {} : { models: row.models }),
    secrets: secrets
      .filter(secret => secret.key_id === row.key_id)
      .map(({ secret_id, hash, envelope, expires_at }) => ({
        secret_id,
        hash,
        envelope,
        ...(expires_at === null ? {} : { expires_at_ms: expires_at.getTime() }),
      })),
    ...(row.expires_at === null ? {} : { expires_at_ms: row.expires_at.getTime() }),
    ...(row.revoked_at === null ? {} : { revoked_at_ms: row.revoked_at.getTime() }),
  }))
}

const teamOf = (teamId: string | null) => (teamId === null ? {} : { team_id: teamId })

/** What a member's key may do: of its role's permissions those that its member has. */
function ownedPermissions(
  role: Role,
  owner: {
    member_account_admin: boolean | null
    member_disabled_at: Date | null
    member_role: Role | null
    member_roles: readonly Bundle[] | null
  },
): Permission[] {
  const held = owner.member_disabled_at
    ? []
    : owner.member_account_admin
      ? rolePermissions.admin
      : owner.member_role
        ? permissionsOf(owner.member_role, owner.member_roles ?? [])
        : []
  return rolePermissions[role].filter(permission => held.some(own => own === permission))
}

/** The key that a whole key string belongs to, by the string's hash. */
export async function findKeyByHash(db: Db, hash: string): Promise<Key | undefined> {
  const row = await db.selectFrom('api_key_secrets').select('key_id').where('hash', '=', hash).executeTakeFirst()
  return row && (await readKeyDocuments(db, [row.key_id]))[0]
}

/** Gives a key its next version and announces it, with its project locked. */
export async function announceKeyChange(change: Change, keyId: string): Promise<void> {
  await announceKeyChanges(change, [keyId])
}

/** The same for several keys of locked projects. */
export async function announceKeyChanges(change: Change, keyIds: readonly string[]): Promise<void> {
  if (keyIds.length === 0) return
  await change.trx
    .updateTable('api_keys')
    .set(({ eb }) => ({ version: eb('version', '+', 1) }))
    .where('key_id', 'in', keyIds)
    .execute()
  const documents = await readKeyDocuments(change.trx, keyIds)
  if (documents.length < keyIds.length) throw new Error('a key that has left KV cannot change')
  await change.announce(documents.map(announceKey))
}

/** Ids of the keys of a service account that are not revoked. */
export function listKeyIdsOfServiceAccount(db: Db, serviceAccountId: string): Promise<string[]> {
  return db
    .selectFrom('api_keys')
    .select('key_id')
    .where('service_account_id', '=', serviceAccountId)
    .where('revoked_at', 'is', null)
    .orderBy('key_id')
    .execute()
    .then(rows => rows.map(row => row.key_id))
}

/** Ids of the keys of a member that are not revoked, in one project or in all of their account. */
export function listKeyIdsOfMember(db: Db, memberId: string, projectId?: string): Promise<string[]> {
  return db
    .selectFrom('api_keys')
    .select('key_id')
    .where('member_id', '=', memberId)
    .where('revoked_at', 'is', null)
    .$if(projectId !== undefined, query => query.where('project_id', '=', projectId ?? ''))
    .orderBy('key_id')
    .execute()
    .then(rows => rows.map(row => row.key_id))
}

/** Ids of a project's keys that belong into KV. */
export function listAnnouncedKeyIds(db: Db, projectId: string): Promise<string[]> {
  return db
    .selectFrom('api_keys')
    .select('key_id')
    .where('project_id', '=', projectId)
    .where('withdrawn_at', 'is', null)
    .execute()
    .then(rows => rows.map(row => row.key_id))
}

/** Takes up to a hundred keys that were revoked before `revokedBefore` and are still in KV, and marks them withdrawn. */
export async function takeKeysToWithdraw(db: Db, revokedBefore: Date, at: Date): Promise<string[]> {
  const { rows } = await sql<{ key_id: string }>`update api_keys set withdrawn_at = ${at}
    where key_id in (select key_id from api_keys where revoked_at < ${revokedBefore} and withdrawn_at is null
      limit 100 for update skip locked)
    returning key_id`.execute(db)
  return rows.map(row => row.key_id)
}
