import { zstdDecompressSync } from 'node:zlib'
import { ContractError, UsageRecorded, type UsageRecordedData } from '@sluice/contracts'
import type { Migration } from '@sluice/postgres'
import { type Kysely, sql } from 'kysely'

/** What the ledger has posted, by the hour of admission: what analytics and budgets are held against. */
export const createUsageHours: Migration = {
  name: '006-create-usage-hours',
  async up(db) {
    await sql`create table usage_hours (
      hour timestamptz not null,
      project_id uuid not null,
      events bigint not null,
      cost_nano_usd bigint not null,
      seat_cost_nano_usd bigint not null,
      primary key (hour, project_id)
    )`.execute(db)
    await sql`comment on table usage_hours is 'Changed in the transactions that post: its sum of a project is the balance of its usage_cost'`.execute(
      db,
    )
    await sql`comment on column usage_hours.seat_cost_nano_usd is 'Of the cost, what a flat seat paid: notional, in no budget of money'`.execute(
      db,
    )
    await sql`create table duplicate_settlements (
      batch_id bigint not null references usage_batches,
      seq bigint not null,
      event_id uuid not null,
      primary key (batch_id, seq)
    )`.execute(db)
    await sql`comment on table duplicate_settlements is 'Events of the log that are not posted: another one has their settlement key'`.execute(
      db,
    )
    await fillFromLog(db)
  },
}

/** What was posted before this step: every event of the log that is no dead letter and has its settlement key first. */
async function fillFromLog(db: Kysely<never>): Promise<void> {
  const settled = new Set<string>()
  for (let after = '0'; ; ) {
    const { rows } = await sql<{ batch_id: string; content: Buffer; first: string; dead: string[] }>`
      select batch_id, content, first, array(
        select generate_series(greatest(b.first, d.first), least(b.last, d.last))::text from dead_letters d
        where d.gateway_id = s.gateway_id and d.epoch = s.epoch and d.partition = s.partition
          and d.first <= b.last and d.last >= b.first) as dead
      from usage_batches b join usage_series s using (series_no)
      where batch_id > ${after} order by batch_id limit 200`.execute(db)
    for (const { batch_id: batchId, content, first, dead } of rows) {
      after = batchId
      const unposted = new Set(dead)
      for (const [index, line] of zstdDecompressSync(content).toString().split('\n').entries()) {
        const seq = Number(first) + index
        const event = unposted.has(String(seq)) ? undefined : readEvent(line)
        if (!event) continue
        const { project_id: projectId } = event.identity
        const key = event.settlement_key === undefined ? undefined : `${projectId} ${event.settlement_key}`
        if (key !== undefined && settled.has(key)) {
          await sql`insert into duplicate_settlements values (${batchId}, ${seq}, ${event.event_id})`.execute(db)
          continue
        }
        if (key !== undefined) settled.add(key)
        await sql`insert into usage_hours values (date_trunc('hour', to_timestamp(${event.admitted_at_ms}::bigint / 1000), 'UTC'),
          ${projectId}, 1, ${event.cost_nano_usd}, ${event.paid_by === 'seat' ? event.cost_nano_usd : 0})
          on conflict (hour, project_id) do update set events = usage_hours.events + 1,
          cost_nano_usd = usage_hours.cost_nano_usd + excluded.cost_nano_usd,
          seat_cost_nano_usd = usage_hours.seat_cost_nano_usd + excluded.seat_cost_nano_usd`.execute(db)
      }
    }
    if (rows.length < 200) return
  }
}

function readEvent(line: string): UsageRecordedData | undefined {
  try {
    return UsageRecorded.decode(line)
  } catch (error) {
    if (error instanceof ContractError) return undefined
    throw error
  }
}
