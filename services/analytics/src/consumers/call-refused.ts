import { createHash } from 'node:crypto'
import { applyInHalves, type BatchConsumer, type Bus, consumeBatches, type JsMsg } from '@sluice/bus'
import { CallRefused, ContractError } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { DeadLetterStore } from '../dead-letter-store.ts'
import { isRefusedByClickhouse } from '../dead-letter-store.ts'
import { noteDeadLetters, noteRefused } from '../events.ts'
import type { RecentCalls } from '../recent-calls.ts'
import { type RefusedRow, toRefusedRow } from '../refused-row.ts'
import type { RefusedRowStore } from '../refused-row-store.ts'
import { isPlausibleTime } from '../usage-row.ts'
import { pace } from './pace.ts'

export interface RefusedConsumerDeps {
  refused: RefusedRowStore
  deadLetters: DeadLetterStore
  recent: RecentCalls
  logger: Logger
  insertWindowMs: number
}

/** A row with the message it is from, and why it was refused, once it was. */
interface PlacedRow {
  seq: number
  row: RefusedRow
  content: Uint8Array
  refused?: string
}

/**
 * `call.refused.v1` into rows. No series and no marks: a refusal is never billed, and one that comes twice lands on the row
 * that is there.
 */
export async function consumeRefused(bus: Bus, deps: RefusedConsumerDeps): Promise<BatchConsumer> {
  const untilWindow = pace(deps.insertWindowMs)
  return consumeBatches(bus, 'analytics-refused', {
    log: deps.logger,
    maxMessages: 1_000,
    handle: async messages => {
      const rows: PlacedRow[] = []
      for (const message of messages) {
        const row = await readRefused(deps, message)
        if (!row) continue
        rows.push({ seq: message.seq, row, content: message.data })
        deps.recent.noteRefusal(row)
      }
      if (rows.length === 0) return
      await untilWindow()
      await applyInHalves<PlacedRow, void>(rows, {
        apply: part => apply(deps, part),
        isRefusal: isRefusedByClickhouse,
        split: () => undefined,
        bury: (row, reason) => (row.refused === undefined ? { ...row, refused: reason } : undefined),
      })
    },
  })
}

/** Inserts rows; a row that was refused before becomes a dead letter. */
async function apply(deps: RefusedConsumerDeps, rows: readonly PlacedRow[]): Promise<void> {
  const good = rows.filter(({ refused }) => refused === undefined)
  if (good.length > 0) {
    await deps.refused.insertRefused(
      good.map(({ row }) => row),
      tokenOf(good),
    )
    noteRefused(good.length)
  }
  for (const { seq, content, refused } of rows) if (refused !== undefined) await keepDead(deps, seq, refused, content)
}

async function keepDead(
  deps: RefusedConsumerDeps,
  streamSeq: number,
  reason: string,
  content: Uint8Array,
): Promise<void> {
  await deps.deadLetters.keepDeadLetter({ stream: 'CALLS', streamSeq, reason, content })
  noteDeadLetters(deps.logger, { stream: 'CALLS', first: streamSeq, last: streamSeq, deadLetters: 1 })
}

async function readRefused(deps: RefusedConsumerDeps, message: JsMsg): Promise<RefusedRow | undefined> {
  try {
    const refused = CallRefused.decode(message.data)
    if (!isPlausibleTime(refused.refused_at_ms)) throw new ContractError('/refused_at_ms is not a plausible time')
    return toRefusedRow(refused, message.seq)
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    await keepDead(deps, message.seq, error.message, message.data)
    return undefined
  }
}

/** The stream may have been made anew, so the numbers alone do not name the rows. */
function tokenOf(rows: readonly PlacedRow[]): string {
  const digest = createHash('sha256')
  for (const { seq, row } of rows) digest.update(`${seq} ${row.call_id}\n`)
  return `CALLS:${digest.digest('hex').slice(0, 32)}`
}
