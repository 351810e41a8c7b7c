import {
  type Bundle,
  type Envelope,
  type Key,
  type Permission,
  permissionsOf,
  type Role,
  rolePermissions,
} from '@sluice/contracts'
import { few, prepare } from '@sluice/postgres'
import { sql } from 'kysely'
import { announceKey } from './announcement.ts'
import type { Change } from './change-store.ts'
import type { Db } from './db/schema.ts'

/** A key as it is shown: never its secrets, but when they end. */
export interface ApiKeySummary {
  key_id: string
  project_id: string
  kind: 'key' | 'foreign' | 'system'
  name: string
  description: string
  role: Role
  team_id: string | null
  member_id: string | null
  service_account_id: string | null
  models: string[] | null
  ip_ranges: string[] | null
  created_by: string
  created_at: Date
  expires_at: Date | null
  last_used_at: Date | null
  secrets: { secret_id: string; created_at: Date; expires_at: Date | null }[]
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
  ipRanges: readonly string[] | null
  kind: 'key' | 'foreign' | 'system'
  createdBy: string
  expiresAt: Date | null
}

/** A secret of a key, as it is kept. */
export interface NewSecretRow {
  secretId: string
  hash: string
  /** null: of another system's key. */
  envelope: Envelope | null
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
      ip_ranges: key.ipRanges && JSON.stringify(key.ipRanges),
      kind: key.kind,
      created_by: key.createdBy,
      expires_at: key.expiresAt,
      last_used_at: null,
      revoked_at: null,
      withdrawn_at: null,
    })
    .execute()
}

/** Adds a secret to a key; false where this installation knows one of that hash already. */
export async function insertSecret(db: Db, keyId: string, secret: NewSecretRow): Promise<boolean> {
  const result = await db
    .insertInto('api_key_secrets')
    .values({
      secret_id: secret.secretId,
      key_id: keyId,
      hash: secret.hash,
      envelope: secret.envelope && JSON.stringify(secret.envelope),
      expires_at: null,
    })
    .onConflict(conflict => conflict.column('hash').doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

/** Ends the secrets of a key: the newest at a time, unless it ends before; older ones now. */
export async function endSecrets(db: Db, keyId: string, times: { now: Date; newestEndsAt: Date }): Promise<void> {
  await sql`update api_key_secrets set expires_at = least(expires_at,
      case when secret_id = (select max(secret_id) from api_key_secrets where key_id = ${keyId})
        then ${times.newestEndsAt}::timestamptz else ${times.now}::timestamptz end)
    where key_id = ${keyId}`.execute(db)
}

/** The keys of a project that are not revoked, or those of one of its service accounts, behind an id. */
export async function listApiKeys(
  db: Db,
  projectId: string,
  options: { serviceAccountId?: string; at: Date; after: string | undefined; limit: number },
): Promise<ApiKeySummary[]> {
  const { serviceAccountId, after } = options
  const rows = await keysOf(db, projectId)
    .$if(serviceAccountId !== undefined, query => query.where('service_account_id', '=', serviceAccountId ?? ''))
    .$if(after !== undefined, query => query.where('key_id', '>', after ?? ''))
    .orderBy('key_id')
    .limit(options.limit)
    .execute()
  return withSecrets(db, rows, options.at)
}

/** A key of a project that is not revoked. */
export async function findApiKey(
  db: Db,
  projectId: string,
  keyId: string,
  at: Date,
): Promise<ApiKeySummary | undefined> {
  const rows = await keysOf(db, projectId).where('key_id', '=', keyId).execute()
  return (await withSecrets(db, rows, at))[0]
}

function keysOf(db: Db, projectId: string) {
  return db
    .selectFrom('api_keys')
    .select([
      'key_id',
      'project_id',
      'kind',
      'name',
      'description',
      'role',
      'team_id',
      'member_id',
      'service_account_id',
      'models',
      'ip_ranges',
      'created_by',
      'created_at',
      'expires_at',
      'last_used_at',
    ])
    .where('project_id', '=', projectId)
    .where('revoked_at', 'is', null)
    .where('kind', '<>', 'system')
}

async function withSecrets(
  db: Db,
  keys: readonly Omit<ApiKeySummary, 'secrets'>[],
  at: Date,
): Promise<ApiKeySummary[]> {
  if (keys.length === 0) return []
  const keyIds = keys.map(key => key.key_id)
  const rows = await db
    .selectFrom('api_key_secrets')
    .select(['key_id', 'secret_id', 'created_at', 'expires_at'])
    .where('key_id', 'in', keyIds)
    .where(sql<boolean>`coalesce(expires_at > ${at}, true)`)
    .orderBy('secret_id', 'desc')
    .execute()
  const secrets = Map.groupBy(rows, row => row.key_id)
  return keys.map(key => ({
    ...key,
    secrets: (secrets.get(key.key_id) ?? []).map(({ key_id: _, ...secret }) => secret),
  }))
}

/** Writes what may be set of a key. */
export async function updateApiKey(
  db: Db,
  keyId: string,
  key: Pick<ApiKeySummary, 'name' | 'description' | 'models' | 'ip_ranges' | 'team_id' | 'expires_at'>,
): Promise<void> {
  await db
    .updateTable('api_keys')
    .set({
      name: key.name,
      description: key.description,
      models: key.models && JSON.stringify(key.models),
      ip_ranges: key.ip_ranges && JSON.stringify(key.ip_ranges),
      team_id: key.team_id,
      expires_at: key.expires_at,
    })
    .where('key_id', '=', keyId)
    .execute()
}

/** How many keys of a project are not revoked, without those that sign for the server. */
export async function countApiKeys(db: Db, projectId: string): Promise<number> {
  const row = await db
    .selectFrom('api_keys')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('project_id', '=', projectId)
    .where('revoked_at', 'is', null)
    .where('kind', '<>', 'system')
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** Marks a key revoked, a system key too. @returns what it was; undefined: the project has no such key, or it was revoked before */
export function markRevoked(
  db: Db,
  projectId: string,
  keyId: string,
  at: Date,
): Promise<Pick<ApiKeySummary, 'name' | 'role' | 'team_id' | 'member_id' | 'service_account_id'> | undefined> {
  return db
    .updateTable('api_keys')
    .set({ revoked_at: at })
    .where('project_id', '=', projectId)
    .where('key_id', '=', keyId)
    .where('revoked_at', 'is', null)
    .returning(['name', 'role', 'team_id', 'member_id', 'service_account_id'])
    .executeTakeFirst()
}

/** What the keys of a project that are not revoked may do, system keys too, by their ids. */
export function listKeyGrants(
  db: Db,
  projectId: string,
  keyIds: readonly string[],
): Promise<Pick<ApiKeySummary, 'key_id' | 'role' | 'models' | 'ip_ranges' | 'expires_at'>[]> {
  return db
    .selectFrom('api_keys')
    .select(['key_id', 'role', 'models', 'ip_ranges', 'expires_at'])
    .where('project_id', '=', projectId)
    .where(isOneOf('key_id', keyIds))
    .where('revoked_at', 'is', null)
    .execute()
}

/** Documents of keys, by their ids; those that are not in KV any more are left out. */
export async function readKeyDocuments(db: Db, keyIds: readonly string[]): Promise<Key[]> {
  if (keyIds.length === 0) return []
  const named = sql<boolean>`api_keys.key_id in (select unnest(${keyIds}::uuid[]) ${few(keyIds)})`
  const { rows } = await prepare(keyDocumentsOf(db).where(named)).execute(db)
  return rows.map(toKeyDocument)
}

/** Everything that the documents of keys say, in one query. */
function keyDocumentsOf(db: Db) {
  return db
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
      'projects.deleted_at as project_deleted_at',
      'api_keys.team_id',
      'api_keys.member_id',
      'api_keys.service_account_id',
      'api_keys.name',
      'api_keys.role',
      'api_keys.kind',
      'api_keys.models',
      'api_keys.ip_ranges',
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
        .where('team_members.state', '=', 'in_force')
        .as('member_team_ids'),
      // Two at most: whatever a rotation has ended before says nothing to anybody.
      selectFrom('api_key_secrets')
        .select(
          sql<KeptSecret[]>`jsonb_agg(jsonb_build_array(secret_id, hash, envelope,
            floor(extract(epoch from api_key_secrets.expires_at) * 1000)) order by secret_id desc)`.as('kept'),
        )
        .whereRef('api_key_secrets.key_id', '=', 'api_keys.key_id')
        .where(sql<boolean>`coalesce(api_key_secrets.expires_at > now(), true)`)
        .as('secrets'),
    ])
    .where('api_keys.withdrawn_at', 'is', null)
}

type KeptSecret = [secretId: string, hash: string, envelope: Envelope | null, expiresAtMs: number | null]
type KeyDocumentRow = Awaited<ReturnType<ReturnType<typeof keyDocumentsOf>['executeTakeFirstOrThrow']>>

function toKeyDocument(row: KeyDocumentRow): Key {
  return {
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
    ...(row.kind === 'system' ? { system: true as const } : {}),
    ...(row.member_id === null
      ? {}
      : { permissions: ownedPermissions(row.role, row), member_team_ids: row.member_team_ids ?? [] }),
    ...(row.project_deleted_at === null ? {} : { permissions: [] }),
    ...(row.member_default_team_id === null ? {} : { member_default_team_id: row.member_default_team_id }),
    ...(row.models === null ? {} : { models: row.models }),
    ...(row.ip_ranges === null ? {} : { ip_ranges: row.ip_ranges }),
    secrets: (row.secrets ?? []).map(([secret_id, hash, envelope, expiresAtMs]) => ({
      secret_id,
      hash,
      ...(envelope === null ? {} : { envelope }),
      ...(expiresAtMs === null ? {} : { expires_at_ms: expiresAtMs }),
    })),
    ...(row.expires_at === null ? {} : { expires_at_ms: row.expires_at.getTime() }),
    ...(row.revoked_at === null ? {} : { revoked_at_ms: row.revoked_at.getTime() }),
  }
}

/** One parameter, however many keys there are. */
const isOneOf = (column: string, keyIds: readonly string[]) => sql<boolean>`${sql.ref(column)} = any(${keyIds}::uuid[])`

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
  const row = await keyDocumentsOf(db)
    .where('api_keys.key_id', '=', ({ selectFrom }) =>
      selectFrom('api_key_secrets').select('api_key_secrets.key_id').where('api_key_secrets.hash', '=', hash),
    )
    .executeTakeFirst()
  return row && toKeyDocument(row)
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
    .where(isOneOf('key_id', keyIds))
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

/** Ids of the keys of members that are not revoked, in one project or in all of their account. */
export function listKeyIdsOfMembers(db: Db, memberIds: readonly string[], projectId?: string): Promise<string[]> {
  return db
    .selectFrom('api_keys')
    .select('key_id')
    .where(sql<boolean>`member_id = any(${memberIds}::text[])`)
    .where('revoked_at', 'is', null)
    .$if(projectId !== undefined, query => query.where('project_id', '=', projectId ?? ''))
    .orderBy('key_id')
    .execute()
    .then(rows => rows.map(row => row.key_id))
}

/** The key that signs what the server mints for a member, or for nobody in particular. */
export async function findSystemKeyId(db: Db, projectId: string, memberId: string | null): Promise<string | undefined> {
  const row = await db
    .selectFrom('api_keys')
    .select('key_id')
    .where('project_id', '=', projectId)
    .where('kind', '=', 'system')
    .where('revoked_at', 'is', null)
    .where('member_id', memberId === null ? 'is' : '=', memberId)
    .executeTakeFirst()
  return row?.key_id
}

/**
 * Ids of the keys of a project that are not revoked: of a member, with the one that signs their tokens, or of a service
 * account; or of the one key so named.
 */
export async function listKeyIdsOfOwner(db: Db, projectId: string, ownerId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('api_keys')
    .select('key_id')
    .where('project_id', '=', projectId)
    .where('revoked_at', 'is', null)
    .where(({ eb, or, and, cast }) =>
      or([
        eb('member_id', '=', ownerId),
        eb('service_account_id', '=', ownerId),
        and([eb('kind', '<>', 'system'), eb(cast<string>('key_id', 'text'), '=', ownerId)]),
      ]),
    )
    .orderBy('key_id')
    .execute()
  return rows.map(row => row.key_id)
}

/** Ids of a project's keys that belong into KV: a page behind one of them. */
export function listAnnouncedKeyIds(
  db: Db,
  projectId: string,
  page: { after: string | undefined; limit: number },
): Promise<string[]> {
  return db
    .selectFrom('api_keys')
    .select('key_id')
    .where('project_id', '=', projectId)
    .where('withdrawn_at', 'is', null)
    .$if(page.after !== undefined, query => query.where('key_id', '>', page.after ?? ''))
    .orderBy('key_id')
    .limit(page.limit)
    .execute()
    .then(rows => rows.map(row => row.key_id))
}

/** Notes when keys were used: the latest time counts, whoever says it, and none is in the future. */
export async function markKeysUsed(
  db: Db,
  used: readonly { key_id: string; at_ms: number }[],
  nowMs: number,
): Promise<void> {
  const keyIds = used.map(key => key.key_id)
  const times = used.map(key => new Date(Math.min(key.at_ms, nowMs)))
  // In one order, whoever tells: two messages at once do not wait for each other in a ring.
  await sql`with used as (
      select api_keys.key_id, told.at from api_keys
      join unnest(${keyIds}::uuid[], ${times}::timestamptz[]) as told (key_id, at) on told.key_id = api_keys.key_id
      where coalesce(api_keys.last_used_at < told.at, true)
      order by api_keys.key_id for no key update of api_keys
    )
    update api_keys set last_used_at = greatest(api_keys.last_used_at, used.at)
    from used where used.key_id = api_keys.key_id`.execute(db)
}

/** Takes up to a hundred keys that were revoked before `revokedBefore` and are still in KV, and marks them withdrawn. */
export async function takeKeysToWithdraw(db: Db, revokedBefore: Date, at: Date): Promise<string[]> {
  const { rows } = await sql<{ key_id: string }>`update api_keys set withdrawn_at = ${at}
    where key_id in (select key_id from api_keys where revoked_at < ${revokedBefore} and withdrawn_at is null
      limit 100 for update skip locked)
    returning key_id`.execute(db)
  return rows.map(row => row.key_id)
}
