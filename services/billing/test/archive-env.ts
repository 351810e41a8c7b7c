import { randomUUID } from 'node:crypto'
import { partitionOf, type UsageRecordedData } from '@sluice/contracts'
import { sql } from 'kysely'
import type { ArchiveStorage } from '../src/archive/archive-storage.ts'
import type { ArchiverDeps } from '../src/archive/archiver.ts'
import { readMessage } from '../src/received-message.ts'
import { type BillingStores, ratedEvent } from './billing-env.ts'

export const dayMs = 86_400_000
/** The newest of these days is over, with the hour that nothing is added in. */
export const daysOfTest = ['2026-11-20', '2026-11-21', '2026-11-23']
export const nowMs = Date.parse('2026-11-24T01:00:00Z')

/** Posts events on each of the days, several messages a day. @returns every event, in the order of its day */
export async function postDays(
  stores: BillingStores,
  options: { perMessage?: number; messages?: number } = {},
): Promise<UsageRecordedData[]> {
  const { perMessage = 5, messages = 4 } = options
  const projects = [randomUUID(), randomUUID(), randomUUID()]
  const all: UsageRecordedData[] = []
  const next = new Map<number, number>()
  for (const day of daysOfTest) {
    for (let index = 0; index < messages; index++) {
      const project = projects[index % projects.length] ?? ''
      const partition = partitionOf(project)
      const first = next.get(partition) ?? 1
      const events = Array.from({ length: perMessage }, (_, at) =>
        ratedEvent({
          identity: { project_id: project },
          gateway_id: 'gw_a',
          partition,
          seq: first + at,
          admitted_at_ms: Date.parse(`${day}T1${index % 10}:20:00Z`) + at,
          quantities: { in_text: 100 + all.length * 7 + at, out_text: 30 + at },
        }),
      )
      next.set(partition, first + perMessage)
      const body = events.map(event => `${JSON.stringify(event)}\n`).join('')
      const range = { gatewayId: 'gw_a', epoch: 1, partition, first, last: first + perMessage - 1 }
      const message = readMessage(`usage.recorded.v1.${partition}`, Buffer.from(body), () => range)
      await stores.usage.post([message], { streamSeq: 1, checkRating: () => undefined })
      await sql`update usage_batches set posted_at = ${`${day}T1${index % 10}:30:00Z`} where posted_at > now() - interval '1 minute'
        and posted_at <= now() + interval '1 minute'`.execute(stores.db)
      all.push(...events)
    }
  }
  return all
}

export function archiverOf(
  stores: BillingStores,
  storage: ArchiveStorage,
  more: Partial<ArchiverDeps> = {},
): ArchiverDeps {
  return { storage, days: stores.days, log: stores.log, nowMs: () => nowMs, ...more }
}

/** Every line of the log, read by pages as others read it. */
export async function readWholeLog(stores: BillingStores, maxBatches = 3): Promise<string[]> {
  const lines: string[] = []
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const page = await stores.log.readPage({ after: BigInt(after) }, { maxBatches, maxBytes: 1_000_000 })
    for (const batch of page.batches) lines.push(...batch.text.split('\n').filter(line => line !== ''))
    after = page.next
  }
  return lines
}
