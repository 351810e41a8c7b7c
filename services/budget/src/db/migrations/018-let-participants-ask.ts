import type { Migration } from '@sluice/postgres'
import { sql } from 'kysely'

/** Participants ask for more with their tokens, each for themselves. */
export const letParticipantsAsk: Migration = {
  name: '018-let-participants-ask',
  async up(db) {
    await sql`alter table more_requests add column participant text, add column room text`.execute(db)
    await sql`comment on column more_requests.participant is 'Whose token of the key it was. Null: the key itself has asked, or a person'`.execute(
      db,
    )
    await sql`drop index more_requests_open`.execute(db)
    await sql`create unique index more_requests_open
      on more_requests (budget_id, requester_kind, requester_id, coalesce(participant, '')) where state = 'open'`.execute(
      db,
    )
  },
}
