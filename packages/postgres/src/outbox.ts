import type { Logger } from '@sluice/runtime'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { Migration } from './migrate.ts'

/** Adds the outbox table to a service's schema. */
export const createOutbox: Migration = {
  name: '000-create-outbox',
  async up(db) {
    await sql`create table outbox (
      id bigint generated always as identity primary key,
      kind text not null check (kind in ('event', 'kv-put', 'kv-delete')),
      target text not null,
      key text not null,
      payload text not null,
      created_at timestamptz not null default now()
    )`.execute(db)
    await sql`comment on column outbox.target is 'Event type, or KV bucket'`.execute(db)
    await sql`comment on column outbox.key is 'Event id, or KV key'`.execute(db)
  },
}

/** A message to be sent after the commit: an event, or a change of a KV bucket. */
export interface OutboxEntry {
  kind: 'event' | 'kv-put' | 'kv-delete'
  target: string
  key: string
  /** JSON text, already checked by its contract's `encode`. Empty for a deletion. */
  payload: string
}

/** Writes entries in the caller's transaction: state and message commit together. */
export async function enqueue<Tables>(trx: Transaction<Tables>, entries: readonly OutboxEntry[]): Promise<void> {
  for (const entry of entries) {
    await sql`insert into outbox (kind, target, key, payload) values (${entry.kind}, ${entry.target}, ${entry.key}, ${entry.payload})`.execute(
      trx,
    )
  }
}

/** Sends one entry. Must be harmless when the same entry comes twice. @throws to have it sent again later */
export type SendOutboxEntry = (entry: OutboxEntry & { id: string }) => Promise<void>

/** The relay: sends entries in the order of their ids, one relay at a time over all instances. */
export interface OutboxRelay {
  /** Sends what is there now; resolves when the outbox was seen empty or a send failed. Call it after a commit. */
  flush: () => Promise<void>
  close: () => Promise<void>
}

/**
 * Sends, then deletes: a crash in between sends again, never loses. A failed send stops the run, so order holds, and is
 * tried again each `retryMs`.
 */
export function startOutboxRelay<Tables>(
  db: Kysely<Tables>,
  send: SendOutboxEntry,
  options: { log: Logger; retryMs?: number },
): OutboxRelay {
  let running: Promise<void> | undefined
  let again = false
  let closed = false

  async function run(): Promise<void> {
    do {
      again = false
      let sent = 0
      do {
        sent = await db.transaction().execute(async trx => {
          const { rows: locked } = await sql<{
            ok: boolean
          }>`select pg_try_advisory_xact_lock(hashtext(current_schema() || ' outbox')) as ok`.execute(trx)
          if (!locked[0]?.ok) return 0
          const { rows } = await sql<
            OutboxEntry & { id: string }
          >`select id, kind, target, key, payload from outbox order by id limit 100`.execute(trx)
          for (const row of rows) await send(row)
          const ids = rows.map(row => row.id)
          if (ids.length > 0) await sql`delete from outbox where id = any(${ids}::bigint[])`.execute(trx)
          return rows.length
        })
      } while (sent > 0 && !closed)
    } while (again && !closed)
  }

  function flush(): Promise<void> {
    if (closed) return Promise.resolve()
    if (running) {
      again = true
      return running
    }
    running = run()
      .catch(err => options.log.warn({ err }, 'outbox not sent, will be tried again'))
      .finally(() => {
        running = undefined
      })
    return running
  }

  const timer = setInterval(() => void flush(), options.retryMs ?? 1_000)
  return {
    flush,
    close: async () => {
      clearInterval(timer)
      await flush()
      closed = true
      await running
    },
  }
}
