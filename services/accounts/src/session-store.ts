import { type Bundle, permissionsOf, type Role, type Session } from '@sluice/contracts'
import { sql } from 'kysely'
import type { Db } from './db/schema.ts'
import { listProjectsWhereOwners } from './team-member-store.ts'

export async function insertSession(
  db: Db,
  session: { tokenHash: string; memberId: string; expiresAt: Date },
): Promise<void> {
  await db
    .insertInto('sessions')
    .values({ token_hash: session.tokenHash, member_id: session.memberId, expires_at: session.expiresAt })
    .execute()
}

/** The document of a session, with the roles its member has now. */
export async function findSession(db: Db, tokenHash: string): Promise<Session | undefined> {
  const rows = await sessionsOf(db).where('sessions.token_hash', '=', tokenHash).execute()
  return (await withDocuments(db, rows))[0]?.document
}

/** The sessions of members with their documents, as of `findSession`. */
export async function readSessionsOfMembers(db: Db, memberIds: readonly string[]): Promise<SessionWithDocument[]> {
  const rows = await sessionsOf(db)
    .where(sql<boolean>`sessions.member_id = any(${memberIds}::text[])`)
    .orderBy('sessions.token_hash')
    .execute()
  return withDocuments(db, rows)
}

interface SessionWithDocument {
  tokenHash: string
  /** undefined: of somebody who is disabled. */
  document: Session | undefined
}

function sessionsOf(db: Db) {
  return db
    .selectFrom('sessions')
    .innerJoin('members', 'members.member_id', 'sessions.member_id')
    .select([
      'sessions.token_hash',
      'members.member_id',
      'members.account_id',
      'members.account_admin',
      'members.operator',
      'members.disabled_at',
      'sessions.expires_at',
    ])
}

async function withDocuments(
  db: Db,
  sessions: Awaited<ReturnType<ReturnType<typeof sessionsOf>['execute']>>,
): Promise<SessionWithDocument[]> {
  const memberIds = [...new Set(sessions.filter(row => row.disabled_at === null).map(row => row.member_id))]
  if (memberIds.length === 0) return sessions.map(row => ({ tokenHash: row.token_hash, document: undefined }))
  const roleRows = await db
    .selectFrom('project_members')
    .select(['member_id', 'account_id', 'project_id', 'role', 'roles'])
    .where(sql<boolean>`member_id = any(${memberIds}::text[])`)
    .orderBy('project_id')
    .execute()
  const rolesOf = Map.groupBy(roleRows, row => row.member_id)
  const ownedBy = Map.groupBy(await listProjectsWhereOwners(db, memberIds), row => row.member_id)
  return sessions.map(row => {
    if (row.disabled_at !== null) return { tokenHash: row.token_hash, document: undefined }
    const roles = (rolesOf.get(row.member_id) ?? []).filter(({ account_id }) => account_id === row.account_id)
    const owned = new Set(ownedBy.get(row.member_id)?.map(({ project_id }) => project_id))
    const permissionsIn = (projectId: string, role: Role, bundles: readonly Bundle[]): string[] => {
      const held = permissionsOf(role, bundles)
      return owned.has(projectId) && !held.includes('usage:read-team') ? [...held, 'usage:read-team'] : held
    }
    const document: Session = {
      member_id: row.member_id,
      account_id: row.account_id,
      account_admin: row.account_admin,
      operator: row.operator,
      projects: Object.fromEntries(roles.map(({ project_id, role }) => [project_id, role])),
      permissions: Object.fromEntries(
        roles.map(({ project_id, role, roles: bundles }) => [project_id, permissionsIn(project_id, role, bundles)]),
      ),
      expires_at_ms: row.expires_at.getTime(),
    }
    return { tokenHash: row.token_hash, document }
  })
}

/** Ends one session; false where it had ended before. */
export async function deleteSession(db: Db, tokenHash: string): Promise<boolean> {
  const result = await db.deleteFrom('sessions').where('token_hash', '=', tokenHash).executeTakeFirst()
  return result.numDeletedRows === 1n
}

/** Ends the sessions of a member, but for `kept`, and hands back their hashes. */
export function deleteSessionsOfMember(db: Db, memberId: string, kept = ''): Promise<string[]> {
  return db
    .deleteFrom('sessions')
    .where('member_id', '=', memberId)
    .where('token_hash', '!=', kept)
    .returning('token_hash')
    .execute()
    .then(rows => rows.map(row => row.token_hash))
}

/** Ends every session whose time is over and hands back their hashes. */
export function deleteExpiredSessions(db: Db, before: Date): Promise<string[]> {
  return db
    .deleteFrom('sessions')
    .where('expires_at', '<', before)
    .returning('token_hash')
    .execute()
    .then(rows => rows.map(row => row.token_hash))
}

/** Hashes of sessions, a page behind one of them. */
export function listSessionHashes(db: Db, page: { after: string; limit: number }): Promise<string[]> {
  return db
    .selectFrom('sessions')
    .select('token_hash')
    .where('token_hash', '>', page.after)
    .orderBy('token_hash')
    .limit(page.limit)
    .execute()
    .then(rows => rows.map(row => row.token_hash))
}

/** Sessions by their hashes, as of `findSession`. */
export async function readSessions(db: Db, tokenHashes: readonly string[]): Promise<SessionWithDocument[]> {
  const rows = await sessionsOf(db)
    .where(sql<boolean>`sessions.token_hash = any(${tokenHashes}::text[])`)
    .orderBy('sessions.token_hash')
    .execute()
  return withDocuments(db, rows)
}

/** Locks the members of sessions, in their order: what they may do stays as it is for the rest of the transaction. */
export async function lockMembersOfSessions(db: Db, tokenHashes: readonly string[]): Promise<void> {
  await sql`select from members where member_id in
    (select member_id from sessions where token_hash = any(${tokenHashes}::text[]))
    order by member_id for update`.execute(db)
}
