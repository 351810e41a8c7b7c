import { createHash } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import { storableText } from './data-error.ts'
import type { Migration } from './migrate.ts'

/**
 * The record of dead letters that a person has given up: who, when, why, and the letter itself. A consumer's schema that has
 * a table `dead_letters` gets it by listing this step among its migrations.
 */
export const createDiscardedLetters: Migration = {
  name: '000-create-discarded-letters',
  async up(db) {
    await sql`create table discarded_letters (
      letter_id bigint primary key,
      letter jsonb not null,
      content bytea not null,
      content_sha256 text not null,
      discarded_by text not null,
      remote_address text not null,
      reason text not null,
      discarded_at timestamptz not null default now()
    )`.execute(db)
    await sql`create index discarded_letters_content on discarded_letters (content_sha256)`.execute(db)
    await sql`comment on column discarded_letters.letter is 'The row of dead_letters as it was, without its content'`.execute(
      db,
    )
    await sql`comment on column discarded_letters.discarded_by is 'As the operator said: the operator port asks for no credential'`.execute(
      db,
    )
  },
}

/** A dead letter as it stands in its table. */
export interface FoundLetter {
  letter: Record<string, unknown>
  content: Buffer
}

/** Who gives a letter up, from where, and why. */
export interface Discard {
  by: string
  reason: string
  remoteAddress: string
}

/** A line of the record. */
export interface DiscardedLetter {
  letter_id: string
  letter: Record<string, unknown>
  discarded_by: string
  remote_address: string
  reason: string
  discarded_at: Date
}

/** What operators may ask of the letters of a schema, beside its own list and replay. */
export interface LetterArchive {
  find: (id: string) => Promise<FoundLetter | undefined>
  /** Moves a letter to the record of discarded ones. False: there is no such letter. */
  discard: (id: string, discard: Discard) => Promise<boolean>
  /** The latest first. */
  listDiscarded: (limit: number) => Promise<DiscardedLetter[]>
  countDiscarded: () => Promise<number>
}

/** @param idColumn the key of this schema's `dead_letters` */
export function letterArchive<Tables>(db: Kysely<Tables>, idColumn: 'id' | 'dead_letter_id'): LetterArchive {
  const id = sql.ref(idColumn)
  return {
    async find(letterId) {
      const { rows } = await sql<FoundLetter>`select to_jsonb(found) - 'content' as letter, content
        from dead_letters found where ${id} = ${letterId}`.execute(db)
      return rows[0]
    },
    async discard(letterId, { by, reason, remoteAddress }) {
      const { rows } = await sql`with gone as (delete from dead_letters where ${id} = ${letterId} returning *)
        insert into discarded_letters (letter_id, letter, content, content_sha256, discarded_by, remote_address, reason)
        select ${id}, to_jsonb(gone) - 'content', content, encode(sha256(content), 'hex'),
          ${storableText(by)}, ${remoteAddress}, ${storableText(reason)}
        from gone returning letter_id`.execute(db)
      return rows.length > 0
    },
    async listDiscarded(limit) {
      const { rows } =
        await sql<DiscardedLetter>`select letter_id, letter, discarded_by, remote_address, reason, discarded_at
        from discarded_letters order by discarded_at desc, letter_id desc limit ${limit}`.execute(db)
      return rows
    },
    async countDiscarded() {
      const { rows } = await sql<{ count: number }>`select count(*)::int as count from discarded_letters`.execute(db)
      return rows[0]?.count ?? 0
    },
  }
}

/**
 * Whether a letter with this content was discarded: a message that names no series leaves no mark, and when the stream is
 * read again it must not come back.
 */
export async function wasDiscarded<Tables>(trx: Transaction<Tables> | Kysely<Tables>, content: Uint8Array) {
  const sha256 = createHash('sha256').update(content).digest('hex')
  const { rows } = await sql`select from discarded_letters where content_sha256 = ${sha256} limit 1`.execute(trx)
  return rows.length > 0
}
