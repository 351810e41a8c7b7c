import { type Bundle, permissionsOf, type Role, type Session } from '@sluice/contracts'
import type { Db } from './db/schema.ts'
import { listProjectsWhereOwner } from './team-member-store.ts'

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
  const row = await db
    .selectFrom('sessions')
    .innerJoin('members', 'members.member_id', 'sessions.member_id')
    .select([
      'members.member_id',
      'members.account_id',
      'members.account_admin',
      'members.operator',
      'sessions.expires_at',
    ])
    .where('sessions.token_hash', '=', tokenHash)
    .where('members.disabled_at', 'is', null)
    .executeTakeFirst()
  if (!row) return undefined
  const roles = await db
    .selectFrom('project_members')
    .select(['project_id', 'role', 'roles'])
    .where('member_id', '=', row.member_id)
    .where('account_id', '=', row.account_id)
    .orderBy('project_id')
    .execute()
  const owned = new Set(await listProjectsWhereOwner(db, row.member_id))
  const permissionsIn = (projectId: string, role: Role, roles: readonly Bundle[]): string[] => {
    const held = permissionsOf(role, roles)
    return owned.has(projectId) && !held.includes('usage:read-team') ? [...held, 'usage:read-team'] : held
  }
  return {
    member_id: row.member_id,
    account_id: row.account_id,
    account_admin: row.account_admin,
    operator: row.operator,
    projects: Object.fromEntries(roles.map(({ project_id, role }) => [project_id, role])),
    permissions: Object.fromEntries(
      roles.map(({ project_id, role, roles }) => [project_id, permissionsIn(project_id, role, roles)]),
    ),
    expires_at_ms: row.expires_at.getTime(),
  }
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

export function listSessionHashesOfMember(db: Db, memberId: string): Promise<string[]> {
  return db
    .selectFrom('sessions')
    .select('token_hash')
    .where('member_id', '=', memberId)
    .orderBy('token_hash')
    .execute()
    .then(rows => rows.map(row => row.token_hash))
}

/** Locks every session and hands back their hashes. */
export function lockSessionHashes(db: Db): Promise<string[]> {
  return db
    .selectFrom('sessions')
    .select('token_hash')
    .orderBy('token_hash')
    .forUpdate()
    .execute()
    .then(rows => rows.map(row => row.token_hash))
}
