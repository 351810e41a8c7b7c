import { type Bundle, permissionsOf, type Role, type Session } from '@sluice/contracts'
import { prepare } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Db } from './db/schema.ts'

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
  const [found] = await readSessions(db, [tokenHash])
  return found?.document
}

/** A session, and the account that a project belongs to: what each request asks, in one query. */
export async function findSessionAndAccount(
  db: Db,
  tokenHash: string,
  projectId: string | undefined,
): Promise<{ session: Session | undefined; projectAccount: string | undefined }> {
  const found = prepare(
    sessionsOf(db)
      .select(({ selectFrom }) =>
        selectFrom('projects')
          .select('projects.account_id')
          .where('project_id', '=', projectId ?? null)
          .where('projects.deleted_at', 'is', null)
          .as('project_account'),
      )
      .where('sessions.token_hash', '=', tokenHash),
  )
  const [row] = (await found.execute(db)).rows
  return { session: row && toDocument(row), projectAccount: row?.project_account ?? undefined }
}

/** The sessions of members with their documents, as of `findSession`. */
export async function readSessionsOfMembers(db: Db, memberIds: readonly string[]): Promise<SessionWithDocument[]> {
  const rows = await sessionsOf(db)
    .where(sql<boolean>`sessions.member_id = any(${memberIds}::text[])`)
    .orderBy('sessions.token_hash')
    .execute()
  return rows.map(withDocument)
}

/** Sessions by their hashes, as of `findSession`. */
export async function readSessions(db: Db, tokenHashes: readonly string[]): Promise<SessionWithDocument[]> {
  const rows = await sessionsOf(db)
    .where(sql<boolean>`sessions.token_hash = any(${tokenHashes}::text[])`)
    .orderBy('sessions.token_hash')
    .execute()
  return rows.map(withDocument)
}

interface SessionWithDocument {
  tokenHash: string
  /** undefined: of somebody who is disabled. */
  document: Session | undefined
}

/** Sessions, each with what its member holds in the projects of their account and in which of them they own a team. */
function sessionsOf(db: Db) {
  return db
    .selectFrom('sessions')
    .innerJoin('members', 'members.member_id', 'sessions.member_id')
    .select(({ selectFrom }) => [
      'sessions.token_hash',
      'members.member_id',
      'members.account_id',
      'members.account_admin',
      'members.operator',
      'members.disabled_at',
      'sessions.expires_at',
      selectFrom('project_members')
        .innerJoin('projects', 'projects.project_id', 'project_members.project_id')
        .where('projects.deleted_at', 'is', null)
        .select(
          sql<
            [string, Role, Bundle[]][]
          >`jsonb_agg(jsonb_build_array(projects.project_id, role, roles) order by projects.project_id)`.as('held'),
        )
        .whereRef('project_members.member_id', '=', 'members.member_id')
        .whereRef('project_members.account_id', '=', 'members.account_id')
        .as('held'),
      selectFrom('team_members')
        .select(sql<string[]>`array_agg(distinct project_id::text)`.as('owned'))
        .whereRef('team_members.member_id', '=', 'members.member_id')
        .where('team_members.role', '=', 'owner')
        .where('team_members.state', '=', 'in_force')
        .as('owned'),
    ])
}
type SessionRow = Awaited<ReturnType<ReturnType<typeof sessionsOf>['executeTakeFirstOrThrow']>>

function withDocument(row: SessionRow): SessionWithDocument {
  return { tokenHash: row.token_hash, document: toDocument(row) }
}

function toDocument(row: SessionRow): Session | undefined {
  if (row.disabled_at !== null) return undefined
  const held = row.held ?? []
  const owned = new Set(row.owned)
  const permissionsIn = (projectId: string, role: Role, bundles: readonly Bundle[]): string[] => {
    const permissions = permissionsOf(role, bundles)
    return owned.has(projectId) && !permissions.includes('usage:read-team')
      ? [...permissions, 'usage:read-team']
      : permissions
  }
  return {
    member_id: row.member_id,
    account_id: row.account_id,
    account_admin: row.account_admin,
    operator: row.operator,
    projects: Object.fromEntries(held.map(([projectId, role]) => [projectId, role])),
    permissions: Object.fromEntries(
      held.map(([projectId, role, bundles]) => [projectId, permissionsIn(projectId, role, bundles)]),
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

/** Locks the members of sessions, in their order: what they may do stays as it is for the rest of the transaction. */
export async function lockMembersOfSessions(db: Db, tokenHashes: readonly string[]): Promise<void> {
  await sql`select from members where member_id in
    (select member_id from sessions where token_hash = any(${tokenHashes}::text[]))
    order by member_id for update`.execute(db)
}
