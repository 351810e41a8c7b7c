import { type Kysely, storableText, transact } from '@sluice/postgres'
import { sql } from 'kysely'
import type { Tables } from './db/schema.ts'
import type { HeardEpoch, Heartbeat } from './heard-epoch.ts'

export interface HeardEpochStore {
  /** Keeps what was heard. Of an epoch that is closed nothing is kept. */
  save(beats: readonly Heartbeat[]): Promise<void>
  /**
   * Takes in epochs that have posted and were never heard of, lets go of those that are closed, and notes as silent what was
   * last heard of before `silentBeforeMs` (undefined: nothing is).
   */
  look(options: { nowMs: number; silentBeforeMs: number | undefined }): Promise<void>
  list(): Promise<HeardEpoch[]>
  /** Notes that a silent epoch's journal will not come back. False: there is no such epoch that is silent. */
  giveUp(
    epoch: { gatewayId: string; epoch: number },
    given: { by: string; reason: string; remoteAddress: string },
  ): Promise<boolean>
}

export function heardEpochStore(db: Kysely<Tables>): HeardEpochStore {
  return {
    async save(beats) {
      if (beats.length === 0) return
      const rows = [...beats]
        // In the order of their key, so that two processes never wait for each other in a circle.
        .sort((a, b) => (a.gatewayId < b.gatewayId ? -1 : a.gatewayId > b.gatewayId ? 1 : a.epoch - b.epoch))
        .map(beat => ({ ...beat, heardAt: new Date(beat.heardAtMs).toISOString() }))
      await sql`insert into heard_epochs (gateway_id, epoch, last, open_attempts, open_nano_usd, open_unrated, heard_at)
        select "gatewayId", epoch, last, "openAttempts", "openNanoUsd", "openUnrated", "heardAt"
        from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as beat ("gatewayId" text, epoch bigint, last jsonb,
          "openAttempts" int, "openNanoUsd" bigint, "openUnrated" int, "heardAt" timestamptz)
        where not exists (select 1 from series_marks mark where mark.gateway_id = beat."gatewayId"
          and mark.epoch = beat.epoch and mark.closed_at_number is not null)
        on conflict (gateway_id, epoch) do update set last = excluded.last, open_attempts = excluded.open_attempts,
          open_nano_usd = excluded.open_nano_usd, open_unrated = excluded.open_unrated, heard_at = excluded.heard_at,
          silent_at = null, given_up_at = null, given_up_by = null, given_up_reason = null, remote_address = null
        where heard_epochs.heard_at <= excluded.heard_at`.execute(db)
    },

    look: ({ nowMs, silentBeforeMs }) =>
      transact(db, async (trx, withCommit) => {
        withCommit([
          sql`insert into heard_epochs (gateway_id, epoch, heard_at)
            select gateway_id, epoch, max(updated_at) from series_marks where closed_at_number is null
            group by gateway_id, epoch on conflict do nothing`,
          sql`delete from heard_epochs heard using series_marks mark
            where mark.gateway_id = heard.gateway_id and mark.epoch = heard.epoch and mark.closed_at_number is not null`,
        ])
        if (silentBeforeMs === undefined) return
        withCommit([
          trx
            .updateTable('heard_epochs')
            .set({ silent_at: new Date(nowMs) })
            .where('silent_at', 'is', null)
            .where('heard_at', '<', new Date(silentBeforeMs)),
        ])
      }),

    async list() {
      const rows = await db.selectFrom('heard_epochs').selectAll().orderBy('gateway_id').orderBy('epoch').execute()
      return rows.map(row => ({
        gatewayId: row.gateway_id,
        epoch: Number(row.epoch),
        last: row.last,
        openAttempts: row.open_attempts,
        openNanoUsd: row.open_nano_usd,
        openUnrated: row.open_unrated,
        heardAtMs: row.heard_at.getTime(),
        silentAtMs: row.silent_at?.getTime(),
        givenUp:
          row.given_up_at === null
            ? undefined
            : { by: row.given_up_by ?? '', reason: row.given_up_reason ?? '', atMs: row.given_up_at.getTime() },
      }))
    },

    async giveUp({ gatewayId, epoch }, { by, reason, remoteAddress }) {
      const { numUpdatedRows } = await db
        .updateTable('heard_epochs')
        .set({
          given_up_at: new Date(),
          given_up_by: storableText(by),
          given_up_reason: storableText(reason),
          remote_address: remoteAddress,
        })
        .where('gateway_id', '=', gatewayId)
        .where('epoch', '=', String(epoch))
        .where('silent_at', 'is not', null)
        .where('given_up_at', 'is', null)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },
  }
}
