import { applyInHalves, type JsMsg, rangeOfMessage } from '@sluice/bus'
import type { Logger } from '@sluice/runtime'
import { isRefusedForGood } from '../dead-letter-store.ts'
import { batchPosted } from '../events.ts'
import type { MarksPublisher } from '../marks-publisher.ts'
import type { PriceBookShelf } from '../price-books.ts'
import { checkRating } from '../rate-usage.ts'
import { buryMessage, type ReceivedMessage, readMessage, splitMessage } from '../received-message.ts'
import type { UsageStore } from '../usage-store.ts'

export interface UsageRecordedDeps {
  usage: UsageStore
  shelf: PriceBookShelf
  marks: Pick<MarksPublisher, 'note'>
  /** After a commit that has put events into the outbox. */
  onBalances: () => void
  log: Logger
}

/**
 * Posts batches of `usage.recorded` and ends of epochs: decode → one transaction → (the caller acknowledges) → marks. What
 * the store refuses for its content becomes a dead letter alone. When it throws, what was not posted comes again.
 */
export function usageRecorded(deps: UsageRecordedDeps): (messages: JsMsg[]) => Promise<void> {
  return async messages => {
    const received = messages.map(message => readMessage(message.subject, message.data, () => rangeOfMessage(message)))
    const streamSeq = Math.max(...messages.map(message => message.seq))
    await applyInHalves(received, {
      apply: part => post(deps, part, streamSeq),
      isRefusal: isRefusedForGood,
      split: splitMessage,
      bury: buryMessage,
    })
  }
}

async function post(deps: UsageRecordedDeps, received: readonly ReceivedMessage[], streamSeq: number): Promise<void> {
  await deps.shelf.load(priceBookIds(received))
  const posted = await deps.usage.post(received, {
    streamSeq,
    checkRating: event => checkRating(event, deps.shelf.find),
  })
  batchPosted(deps.log, posted)
  if (posted.balances > 0) deps.onBalances()
  deps.marks.note(posted.marks)
}

function priceBookIds(received: readonly ReceivedMessage[]): Set<string> {
  const ids = new Set<string>()
  for (const message of received) {
    if (message.kind !== 'usage') continue
    for (const { event } of message.lines) {
      if (!event) continue
      ids.add(event.price_book_id)
      if (event.override_price_book_id !== undefined) ids.add(event.override_price_book_id)
    }
  }
  return ids
}
