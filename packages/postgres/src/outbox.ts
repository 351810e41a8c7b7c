import type { Logger } from '@sluice/runtime'
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
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

/**
 * Finds what is sent beside the messages of these targets, however many of them wait: for relays that send these apart. A service lists
 * this step behind {@link createOutbox}.
 */
export function indexOutboxBeside(apart: readonly string[]): Migration {
  return {
    name: '000-index-outbox-beside',
    async up(db) {
      await sql`create index outbox_beside on outbox (id) where ${areBeside(apart)}`.execute(db)
    },
  }
}

/** As the index says it, without parameters. */
function areBeside(apart: readonly string[]): RawBuilder<boolean> {
  return sql`target <> all (array[${sql.join(apart.map(target => sql.lit(target)))}]::text[])`
}

/** A message to be sent after the commit: an event, or a change of a KV bucket. */
export interface OutboxEntry {
  kind: 'event' | 'kv-put' | 'kv-delete'
  target: string
  key: string
  /** JSON text, already checked by its contract's `encode`. Empty for a deletion. */
  payload: string
}

/** Writes entries in the caller's transaction, in one statement: state and message commit together. */
export async function enqueue<Tables>(trx: Transaction<Tables>, entries: readonly OutboxEntry[]): Promise<void> {
  if (entries.length > 0) await insertOutbox(entries).execute(trx)
}

/** The statement of {@link enqueue}, for at least one entry. */
export function insertOutbox(entries: readonly OutboxEntry[]): RawBuilder<unknown> {
  const column = (name: keyof OutboxEntry) => entries.map(entry => entry[name])
  // Ids are given in the order of the entries, which is the order of sending.
  return sql`insert into outbox (kind, target, key, payload)
    select kind, target, key, payload
    from unnest(${column('kind')}::text[], ${column('target')}::text[], ${column('key')}::text[], ${column('payload')}::text[])
      with ordinality as entry (kind, target, key, payload, number)
    order by number`
}

/** Sends one entry. Must be harmless when the same entry comes twice. @throws to have it sent again later */
export type SendOutboxEntry = (entry: OutboxEntry & { id: string }) => Promise<void>

/** The relay: sends entries in the order of their ids, one relay at a time over all instances; what is sent apart, in an order of its own. */
export interface OutboxRelay {
  /** Sends what is there now; resolves when that is sent, whatever has come since, or a send failed. Call it after a commit. */
  flush: () => Promise<void>
  close: () => Promise<void>
}

/** Does something while no relay sends, but what is sent apart: what it reads of the database is then no older than what was sent. */
export function whileOutboxRests<Tables, Result>(
  db: Kysely<Tables>,
  work: (trx: Transaction<Tables>) => Promise<Result>,
): Promise<Result> {
  return db.transaction().execute(async trx => {
    await lockOutbox(trx, '')
    return await work(trx)
  })
}

/** Entries that are sent in one order. */
interface Lane {
  /** The target that is sent apart; empty: all others. */
  name: string
  holds: RawBuilder<boolean>
}

function lanesOf(apart: readonly string[]): Lane[] {
  return [
    { name: '', holds: apart.length === 0 ? sql`true` : areBeside(apart) },
    ...apart.map(target => ({ name: target, holds: sql<boolean>`target = ${sql.lit(target)}` })),
  ]
}

async function lockOutbox<Tables>(trx: Transaction<Tables>, lane: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext(current_schema() || ' outbox' || ${lane}))`.execute(trx)
}

/** Entries that are sent in one transaction. */
const pageSize = 100

async function lastId<Tables>(trx: Transaction<Tables>, { holds }: Lane): Promise<string | undefined> {
  const { rows } = await sql<{ last: string | null }>`select max(id) as last from outbox where ${holds}`.execute(trx)
  return rows[0]?.last ?? undefined
}

/** What of a lane is not sent. */
export interface WaitingEntries {
  /** The target that is sent apart; empty: all others. */
  lane: string
  entries: number
  oldestAgeMs: number
}

/** How much waits to be sent, by lane, for a metric and its alarm. */
export async function listWaitingEntries<Tables>(
  db: Kysely<Tables>,
  apart: readonly string[] = [],
): Promise<WaitingEntries[]> {
  const { rows } = await sql<{ target: string; entries: number; age: string }>`select target, count(*)::int as entries,
    round(1000 * extract(epoch from now() - min(created_at)))::bigint as age from outbox group by target`.execute(db)
  return ['', ...apart].map(lane => {
    const own = rows.filter(({ target }) => (apart.includes(target) ? target : '') === lane)
    return {
      lane,
      entries: own.reduce((sum, { entries }) => sum + entries, 0),
      oldestAgeMs: Math.max(0, ...own.map(({ age }) => Number(age))),
    }
  })
}

/** Entries in their order, those together that need not wait for each other: documents under different keys. */
function runsOf<Entry extends OutboxEntry>(entries: readonly Entry[]): Entry[][] {
  const runs: Entry[][] = []
  const keys = new Set<string>()
  for (const entry of entries) {
    const key = `${entry.target} ${entry.key}`
    const joins = entry.kind !== 'event' && keys.size > 0 && !keys.has(key)
    if (joins) runs.at(-1)?.push(entry)
    else {
      runs.push([entry])
      keys.clear()
    }
    if (entry.kind !== 'event') keys.add(key)
  }
  return runs
}

/** @throws what the first that fails says, when all have had their answer: none arrives behind one that is sent again */
async function sendTogether<Entry>(entries: readonly Entry[], send: (entry: Entry) => Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled(entries.map(async entry => send(entry)))
  const failed = outcomes.find(outcome => outcome.status === 'rejected')
  if (failed) throw failed.reason
}

export interface OutboxRelayOptions {
  log: Logger
  retryMs?: number
  /** Targets that are each sent in an order of their own: what holds one up holds up nothing else. */
  apart?: readonly string[]
}

/**
 * Sends, then deletes: a crash in between sends again, never loses. A failed send stops the run, so order holds, and is
 * tried again each `retryMs`. Documents under different keys go together, a page of them at most.
 */
export function startOutboxRelay<Tables>(
  db: Kysely<Tables>,
  send: SendOutboxEntry,
  { log, retryMs = 1_000, apart = [] }: OutboxRelayOptions,
): OutboxRelay {
  const lanes = lanesOf(apart)
  const relays = lanes.map(lane => startLane(db, send, lane, log))

  /** What other instances have left, and what failed: looked for without taking turns, in all lanes at once, for there is seldom any. */
  async function flushWhatIsLeft(): Promise<void> {
    const { rows } = await sql<{ left: boolean[] }>`select array[${sql.join(
      lanes.map(({ holds }) => sql`exists (select from outbox where ${holds})`),
    )}] as left`.execute(db)
    await Promise.all(relays.filter((_relay, at) => rows[0]?.left[at]).map(relay => relay.flush()))
  }
  const flush = async (): Promise<void> => {
    await Promise.all(relays.map(relay => relay.flush()))
  }

  const timer = setInterval(() => void flushWhatIsLeft().catch(flush), retryMs)
  return {
    flush,
    close: async () => {
      clearInterval(timer)
      await Promise.all(relays.map(relay => relay.close()))
    },
  }
}

function startLane<Tables>(db: Kysely<Tables>, send: SendOutboxEntry, lane: Lane, log: Logger): OutboxRelay {
  let waiting: PromiseWithResolvers<void> | undefined
  let running: Promise<void> | undefined
  let closed = false

  /** One page of what there was up to an id, or of all that is there now. */
  async function sendPage(until: string | undefined): Promise<{ isFull: boolean; until: string | undefined }> {
    return db.transaction().execute(async trx => {
      // Whoever waits here sends what has come since the one before has looked.
      await lockOutbox(trx, lane.name)
      const { rows } = await sql<OutboxEntry & { id: string }>`select id, kind, target, key, payload from outbox
        where id <= coalesce(${until ?? null}::bigint, id) and ${lane.holds} order by id limit ${pageSize}`.execute(trx)
      const isFull = rows.length === pageSize
      const last = until ?? (isFull ? await lastId(trx, lane) : undefined)
      for (const together of runsOf(rows)) await sendTogether(together, send)
      const ids = rows.map(row => row.id)
      if (ids.length > 0) await sql`delete from outbox where id = any(${ids}::bigint[])`.execute(trx)
      return { isFull, until: last }
    })
  }

  /** Ends although more keep coming: what comes after it has begun is for the next. */
  async function sendAll(): Promise<void> {
    let page = await sendPage(undefined)
    while (page.isFull && !closed) page = await sendPage(page.until)
  }

  async function run(): Promise<void> {
    while (waiting) {
      const asked = waiting
      waiting = undefined
      await sendAll().catch(err => log.warn({ err, lane: lane.name }, 'outbox not sent, will be tried again'))
      asked.resolve()
    }
    running = undefined
  }

  function flush(): Promise<void> {
    if (closed) return Promise.resolve()
    waiting ??= Promise.withResolvers()
    const { promise } = waiting
    running ??= run()
    return promise
  }

  return {
    flush,
    close: async () => {
      await flush()
      closed = true
      await running
    },
  }
}
