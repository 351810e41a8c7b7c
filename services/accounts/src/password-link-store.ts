import type { Db } from './db/schema.ts'

/** Keeps a link by the hash of its token; the member's earlier ones are void. */
export async function replacePasswordLink(
  db: Db,
  link: { tokenHash: string; memberId: string; madeBy: string; expiresAt: Date },
): Promise<void> {
  await deletePasswordLinks(db, link.memberId)
  await db
    .insertInto('password_links')
    .values({
      token_hash: link.tokenHash,
      member_id: link.memberId,
      made_by: link.madeBy,
      expires_at: link.expiresAt,
    })
    .execute()
}

/** Voids the links of a member. */
export async function deletePasswordLinks(db: Db, memberId: string): Promise<void> {
  await db.deleteFrom('password_links').where('member_id', '=', memberId).execute()
}

/** Whose link this is, while it holds and whoever made it may still make it. For setting a password alone: it reaches over all accounts. */
export function findPasswordLink(
  db: Db,
  tokenHash: string,
  now: Date,
): Promise<{ member_id: string; account_id: string } | undefined> {
  return db
    .selectFrom('password_links')
    .innerJoin('members', 'members.member_id', 'password_links.member_id')
    .innerJoin('members as makers', 'makers.member_id', 'password_links.made_by')
    .select(['members.member_id', 'members.account_id'])
    .where('password_links.token_hash', '=', tokenHash)
    .where('password_links.expires_at', '>', now)
    .where('members.disabled_at', 'is', null)
    .where('makers.disabled_at', 'is', null)
    .where('makers.account_admin', '=', true)
    .where(({ eb, or }) => or([eb('members.operator', '=', false), eb('makers.operator', '=', true)]))
    .executeTakeFirst()
}

/** Uses a link up; false where somebody else has, or its time is over. */
export async function takePasswordLink(db: Db, tokenHash: string, now: Date): Promise<boolean> {
  const result = await db
    .deleteFrom('password_links')
    .where('token_hash', '=', tokenHash)
    .where('expires_at', '>', now)
    .executeTakeFirst()
  return result.numDeletedRows === 1n
}

/** Forgets links whose time is over. */
export async function deleteExpiredPasswordLinks(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('password_links').where('expires_at', '<', before).execute()
}
