import { createHash } from 'node:crypto'
import { type BatchConsumer, type Bus, consumeBatches, type JsMsg } from '@sluice/bus'
import { CallRefused, ContractError } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import type { DeadLetterStore } from '../dead-letter-store.ts'
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
      const rows = new Map<number, RefusedRow>()
      for (const message of messages) {
        const row = await readRefused(deps, message)
        if (!row) continue
        rows.set(message.seq, row)
        deps.recent.noteRefusal(row)
      }
      if (rows.size === 0) return
      await untilWindow()
      await deps.refused.insertRefused([...rows.values()], tokenOf(rows))
      noteRefused(rows.size)
    },
  })
}

async function readRefused(deps: RefusedConsumerDeps, message: JsMsg): Promise<RefusedRow | undefined> {
  const payload = new TextDecoder().decode(message.data)
  try {
    const refused = CallRefused.decode(payload)
    if (!isPlausibleTime(refused.refused_at_ms)) throw new ContractError('/refused_at_ms is not a plausible time')
    return toRefusedRow(refused, message.seq)
  } catch (error) {
    if (!(error instanceof ContractError)) throw error
    await deps.deadLetters.keepDeadLetter({ stream: 'CALLS', streamSeq: message.seq, reason: error.message, payload })
    noteDeadLetters(deps.logger, { stream: 'CALLS', first: message.seq, last: message.seq, deadLetters: 1 })
    return undefined
  }
}

/** The stream may have been made anew, so the numbers alone do not name the rows. */
function tokenOf(rows: ReadonlyMap<number, RefusedRow>): string {
  const digest = createHash('sha256')
  for (const [seq, row] of rows) digest.update(`${seq} ${row.call_id}\n`)
  return `CALLS:${digest.digest('hex').slice(0, 32)}`
}
