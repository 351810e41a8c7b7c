import {
  adjustmentSeries,
  type Series,
  seriesKey,
  UsageAdjusted,
  type UsageAdjustedData,
  type UsageRecordedData,
} from '@sluice/contracts'
import {
  listCompleteness,
  type MarkSession,
  openMarks,
  type SeriesCompleteness,
  seriesOfEpoch,
  storableText,
  transact,
  wasDiscarded,
} from '@sluice/postgres'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { AnalyticsTables } from './db/schema.ts'
import type { DeadLine } from './usage-message.ts'
import type { FreshUsage, UsageRun } from './usage-run.ts'

/** An adjustment that waits for its event. */
export interface PendingAdjustment {
  adjusted: UsageAdjustedData
  streamSeq: number
}

/** What an insert changes beside the rows. */
export interface InsertOutcome {
  dirtyHours: { projectId: string; hourMs: number }[]
  /** Adjustments whose event is not here yet. */
  postponed: PendingAdjustment[]
  /** Adjustments that had waited and are applied now. */
  resolved: PendingAdjustment[]
  /** A dead letter that could be applied after all: deleted. */
  replayedLetter?: string
}

/** The record in PostgreSQL of what has gone into ClickHouse. */
export interface InsertLogStore {
  /** Before the insert: notes that this run is about to be inserted, and says what of it is new. Changes no mark. */
  begin: (run: UsageRun) => Promise<FreshUsage>
  /** After the insert, in one transaction: marks, dead letters, hours to recompute, and the end of the intent. */
  finish: (run: UsageRun, outcome: InsertOutcome) => Promise<{ deadLetters: number }>
  /** Inserts that may or may not have happened. */
  findUnfinished: () => Promise<{ first: number; last: number }[]>
  /**
   * The message of the stream from which on something may be missing: behind the last one applied, or, where a series has
   * a gap, behind the last one before that gap.
   */
  findPositionToReadFrom: () => Promise<number>
  /** Whether an event that comes past the marks may be inserted: not where another one owns its settlement key. */
  ownsSettlement: (event: UsageRecordedData) => Promise<boolean>
  findPendingAdjustments: (eventIds: readonly string[]) => Promise<PendingAdjustment[]>
  /** Every series that is known, with what is missing of it. */
  listCompleteness: () => Promise<SeriesCompleteness[]>
}

const stream = 'USAGE'

export function insertLogStore(db: Kysely<AnalyticsTables>): InsertLogStore {
  return {
    begin: run =>
      transact(db, async trx => {
        const marks = await openMarks(trx, seriesOf(run))
        const fresh = await keepOwnSettlements(trx, receiveRun(run, marks).fresh)
        const rows = fresh.recorded.length + fresh.adjusted.length
        if (rows > 0)
          await trx
            .insertInto('insert_intents')
            .values({ stream, first_seq: `${run.first}`, last_seq: `${run.last}`, rows, state: 'before' })
            .onConflict(conflict =>
              conflict
                .columns(['stream', 'first_seq', 'last_seq'])
                .doUpdateSet({ rows, state: 'before', changed_at: sql`now()` }),
            )
            .execute()
        return fresh
      }),

    finish: (run, outcome) =>
      transact(db, async trx => {
        const marks = await openMarks(trx, seriesOf(run))
        const { dead } = receiveRun(run, marks)
        for (const message of run.messages) if (message.kind === 'closed') marks.close(message.closed)
        const deadLetters = await writeDeadLetters(trx, dead, stream)
        await postponeAdjustments(trx, outcome)
        await touchHours(trx, outcome.dirtyHours)
        await marks.save()
        await advancePositions(trx, run, marks)
        if (outcome.replayedLetter !== undefined)
          await trx.deleteFrom('dead_letters').where('id', '=', outcome.replayedLetter).execute()
        await trx
          .updateTable('insert_intents')
          .set({ state: 'after', changed_at: sql`now()` })
          .where('stream', '=', stream)
          // Parts of the run that were begun and refused are over with it.
          .where('first_seq', '>=', `${run.first}`)
          .where('last_seq', '<=', `${run.last}`)
          .execute()
        await sql`delete from insert_intents where state = 'after' and changed_at < now() - interval '1 hour'`.execute(
          trx,
        )
        return { deadLetters }
      }),

    listCompleteness: () => listCompleteness(db),

    ownsSettlement: event =>
      transact(db, async trx => {
        const { recorded } = await keepOwnSettlements(trx, { recorded: [{ event, streamSeq: 0 }], adjusted: [] })
        return recorded.length > 0
      }),

    findUnfinished: async () => {
      const rows = await db
        .selectFrom('insert_intents')
        .select(['first_seq', 'last_seq'])
        .where('stream', '=', stream)
        .where('state', '=', 'before')
        .orderBy('first_seq')
        .execute()
      return rows.map(row => ({ first: Number(row.first_seq), last: Number(row.last_seq) }))
    },

    findPositionToReadFrom: async () => {
      const rows = await db.selectFrom('series_positions').selectAll().execute()
      const positions = new Map(rows.map(row => [row.series, Number(row.stream_seq)]))
      let from = Math.max(0, ...positions.values())
      for (const { gateway_id, epoch, partition, gaps } of await listCompleteness(db))
        if (gaps.length > 0)
          from = Math.min(from, positions.get(seriesKey({ gatewayId: gateway_id, epoch, partition })) ?? 0)
      return from + 1
    },

    findPendingAdjustments: async eventIds => {
      if (eventIds.length === 0) return []
      const rows = await db
        .selectFrom('pending_adjustments')
        .select(['payload', 'stream_seq'])
        .where(sql<boolean>`event_id = any(${[...eventIds]}::uuid[])`)
        .execute()
      return rows.map(row => ({ adjusted: UsageAdjusted.decode(row.payload), streamSeq: Number(row.stream_seq) }))
    },
  }
}

/** Every series a run touches: one lock each, taken in key order. */
function seriesOf(run: UsageRun): Series[] {
  return run.messages.flatMap(message => {
    if (message.kind === 'recorded') return [message.range]
    if (message.kind === 'adjusted') return [adjustmentSeries]
    return message.kind === 'closed' ? seriesOfEpoch(message.closed) : []
  })
}

/** A line that is put aside, with its place. */
export interface DeadLetter extends DeadLine {
  streamSeq: number
  series: string
}

function receiveRun(run: UsageRun, marks: MarkSession): { fresh: FreshUsage; dead: DeadLetter[] } {
  const fresh: FreshUsage = { recorded: [], adjusted: [] }
  const dead: DeadLetter[] = []
  for (const message of run.messages) {
    const { streamSeq } = message
    if (message.kind === 'recorded') {
      const { range } = message
      const ranges = marks.receive(range, range.first, range.last)
      const isNew = (seq: number | undefined) => ranges.some(r => seq !== undefined && r.first <= seq && seq <= r.last)
      for (const event of message.events) if (isNew(event.seq)) fresh.recorded.push({ event, streamSeq })
      for (const line of message.dead) if (isNew(line.seq)) dead.push({ ...line, streamSeq, series: seriesKey(range) })
    } else if (message.kind === 'adjusted') {
      const { adjusted } = message
      if (marks.receive(adjustmentSeries, adjusted.seq, adjusted.seq).length === 0) continue
      if (message.dead) dead.push({ ...message.dead, streamSeq, series: seriesKey(adjustmentSeries) })
      else fresh.adjusted.push({ adjusted, streamSeq })
    } else if (message.kind === 'unreadable') {
      dead.push({ ...message.dead, streamSeq, series: '' })
    }
  }
  return { fresh, dead }
}

/**
 * What several gateways may settle has one event id and may have two admissions, which no sorting key would bring
 * together: the first to come owns the key in its project, the others are left out. The same one owns it when the run comes again.
 */
export async function keepOwnSettlements(trx: Transaction<AnalyticsTables>, fresh: FreshUsage): Promise<FreshUsage> {
  const claims = fresh.recorded.flatMap(({ event }) =>
    event.settlement_key === undefined
      ? []
      : [
          {
            project_id: event.identity.project_id,
            settlement_key: event.settlement_key,
            series: seriesKey({ gatewayId: event.gateway_id, epoch: event.epoch, partition: event.partition }),
            seq: `${event.seq}`,
          },
        ],
  )
  if (claims.length === 0) return fresh
  await trx
    .insertInto('settlement_owners')
    .values(claims)
    .onConflict(conflict => conflict.doNothing())
    .execute()
  const owners = await trx
    .selectFrom('settlement_owners')
    .selectAll()
    .where(
      sql<boolean>`(project_id, settlement_key) in (
        select * from unnest(${claims.map(claim => claim.project_id)}::uuid[], ${claims.map(claim => claim.settlement_key)}::text[]))`,
    )
    .execute()
  const owned = new Set(owners.map(owner => `${owner.series}/${owner.seq}`))
  return {
    ...fresh,
    recorded: fresh.recorded.filter(
      ({ event }) =>
        event.settlement_key === undefined ||
        owned.has(
          `${seriesKey({ gatewayId: event.gateway_id, epoch: event.epoch, partition: event.partition })}/${event.seq}`,
        ),
    ),
  }
}

/** Puts lines aside, each once. @returns how many were new */
export async function writeDeadLetters(
  trx: Transaction<AnalyticsTables>,
  received: readonly DeadLetter[],
  stream: string,
): Promise<number> {
  const dead: DeadLetter[] = []
  for (const letter of received)
    if (letter.series !== '' || !(await wasDiscarded(trx, letter.content))) dead.push(letter)
  if (dead.length === 0) return 0
  const written = await trx
    .insertInto('dead_letters')
    .values(
      dead.map(letter => ({
        stream,
        stream_seq: `${letter.streamSeq}`,
        line: letter.line,
        series: letter.series,
        seq: letter.seq === undefined ? null : `${letter.seq}`,
        reason: storableText(letter.reason),
        content: Buffer.from(letter.content),
      })),
    )
    .onConflict(conflict => conflict.columns(['stream', 'stream_seq', 'line']).doNothing())
    .returning('id')
    .execute()
  return written.length
}

/** A series without gaps has been received up to the last message that brought something of it. */
async function advancePositions(trx: Transaction<AnalyticsTables>, run: UsageRun, marks: MarkSession): Promise<void> {
  const whole = new Set(
    marks
      .changed()
      .filter(mark => mark.contiguous === mark.last)
      .map(mark => seriesKey(mark.series)),
  )
  const positions = new Map<string, number>()
  for (const message of run.messages) {
    const series =
      message.kind === 'recorded' ? message.range : message.kind === 'adjusted' ? adjustmentSeries : undefined
    if (series && whole.has(seriesKey(series))) positions.set(seriesKey(series), message.streamSeq)
  }
  if (positions.size === 0) return
  await sql`insert into series_positions (series, stream_seq)
    select * from unnest(${[...positions.keys()]}::text[], ${[...positions.values()]}::bigint[]) order by 1
    on conflict (series) do update set stream_seq = greatest(series_positions.stream_seq, excluded.stream_seq)`.execute(
    trx,
  )
}

export async function postponeAdjustments(trx: Transaction<AnalyticsTables>, outcome: InsertOutcome): Promise<void> {
  for (const { adjusted, streamSeq } of outcome.postponed)
    await trx
      .insertInto('pending_adjustments')
      .values({
        event_id: adjusted.event_id,
        version: adjusted.version,
        stream_seq: `${streamSeq}`,
        payload: UsageAdjusted.encode(adjusted),
      })
      .onConflict(conflict => conflict.doNothing())
      .execute()
  for (const { adjusted } of outcome.resolved)
    await trx
      .deleteFrom('pending_adjustments')
      .where('event_id', '=', adjusted.event_id)
      .where('version', '=', adjusted.version)
      .execute()
}

/** Notes that the rollups of these hours are older than their rows. In key order: two writers never wait in a circle. */
export async function touchHours(
  trx: Transaction<AnalyticsTables>,
  hours: readonly { projectId: string; hourMs: number }[],
): Promise<void> {
  if (hours.length === 0) return
  const projects = hours.map(hour => hour.projectId)
  const starts = hours.map(hour => new Date(hour.hourMs).toISOString())
  await sql`insert into dirty_hours (project_id, hour)
    select distinct project_id, hour from unnest(${projects}::uuid[], ${starts}::timestamptz[]) as h(project_id, hour)
    order by project_id, hour
    on conflict (project_id, hour) do update set touched = nextval('dirty_hours_touched')`.execute(trx)
}
