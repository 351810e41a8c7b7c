import { type Kysely, sql } from 'kysely'
import type { Migration } from './migrate.ts'

/** How far a rebuild from billing's usage log is. */
export interface RebuildProgress {
  rebuild_id: string
  phase: 'usage' | 'adjustments' | 'closed-epochs' | 'finishing' | 'done'
  /** Where the next page of the phase begins. */
  after: string
  /** Number of the newest batch of the log, when it was last asked. */
  head: number
  batches: number
  events: number
  adjustments: number
  /** Why it stands still; null: it does not. */
  problem: string | null
  started_at: Date
  changed_at: Date
  finished_at: Date | null
}

/** Where a rebuild is remembered, so that whoever ends in the middle goes on from there. */
export interface RebuildStore {
  /** Undefined: there never was one. */
  read: () => Promise<RebuildProgress | undefined>
  /** Begins one, unless one is under way. */
  begin: () => Promise<RebuildProgress>
  save: (progress: Omit<RebuildProgress, 'started_at' | 'changed_at' | 'finished_at'>) => Promise<void>
  /** Runs `work` while no other instance does. False: another one is at it. */
  alone: (work: () => Promise<void>) => Promise<boolean>
}

/** The table behind it. A schema that is rebuilt from the log gets it by listing this step among its migrations. */
export const createRebuild: Migration = {
  name: '000-create-rebuild',
  async up(db) {
    await sql`create table rebuild (
      only_row boolean primary key default true check (only_row),
      rebuild_id uuid not null default gen_random_uuid(),
      phase text not null default 'usage',
      after text not null default '',
      head bigint not null default 0,
      batches bigint not null default 0,
      events bigint not null default 0,
      adjustments bigint not null default 0,
      problem text,
      started_at timestamptz not null default now(),
      changed_at timestamptz not null default now(),
      finished_at timestamptz
    )`.execute(db)
    await sql`comment on table rebuild is 'The last rebuild from the usage log, and how far it is'`.execute(db)
  },
}

export function rebuildStore<Tables>(db: Kysely<Tables>): RebuildStore {
  const read = async (): Promise<RebuildProgress | undefined> => {
    const { rows } = await sql<RebuildProgress>`select rebuild_id, phase, after, head::float8 as head,
      batches::float8 as batches, events::float8 as events, adjustments::float8 as adjustments,
      problem, started_at, changed_at, finished_at from rebuild`.execute(db)
    return rows[0]
  }
  return {
    read,
    begin: async () => {
      await sql`insert into rebuild default values on conflict (only_row) do update set
        rebuild_id = excluded.rebuild_id, phase = 'usage', after = '', head = 0, batches = 0, events = 0, adjustments = 0,
        problem = null, started_at = now(), changed_at = now(), finished_at = null
        where rebuild.phase = 'done'`.execute(db)
      const progress = await read()
      if (!progress) throw new Error('the rebuild that was begun is not there')
      return progress
    },
    save: async progress => {
      // Only what belongs to the rebuild that is under way: one that was begun anew is not set back by an old instance.
      await sql`update rebuild set phase = ${progress.phase}, after = ${progress.after}, head = ${progress.head},
        batches = ${progress.batches}, events = ${progress.events}, adjustments = ${progress.adjustments},
        problem = ${progress.problem}, changed_at = now(),
        finished_at = ${progress.phase === 'done' ? sql`now()` : sql`null`}
        where rebuild_id = ${progress.rebuild_id}::uuid`.execute(db)
    },
    alone: work =>
      db.connection().execute(async connection => {
        const lock = sql`hashtext(current_schema() || ' rebuild')`
        const { rows } = await sql<{ ok: boolean }>`select pg_try_advisory_lock(${lock}) as ok`.execute(connection)
        if (!rows[0]?.ok) return false
        try {
          await work()
          return true
        } finally {
          await sql`select pg_advisory_unlock(${lock})`.execute(connection).catch(() => undefined)
        }
      }),
  }
}
