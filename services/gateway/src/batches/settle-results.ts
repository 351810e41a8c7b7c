import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { HandedMoney, UsageRecordedData } from '@sluice/contracts'
import type { PriceBooks } from '@sluice/pricing'
import { type AskDeps, askForStream } from '../exchanges/ask-provider.ts'
import type { Journal } from '../journal/journal.ts'
import type { HandedUse } from '../leases/handed-money.ts'
import type { Route } from '../resolve-route.ts'
import type { PricesView } from '../views/prices-view.ts'
import { type BatchResult, type BatchStanding, batchDialects } from './batch-dialect.ts'
import { draftOfResult, type OwnedBatch } from './batch-draft.ts'
import { readLines } from './read-lines.ts'
import { LongLine, readResultLine, resultOfUnread, type UnreadLine } from './read-result.ts'

export interface SettleDeps extends AskDeps {
  journal: Journal
  prices: PricesView
  onResult: (event: UsageRecordedData, outcome: string) => void
}

/** What the results of a batch amount to. */
export interface SettledResults {
  results: number
  succeeded: number
  /** Lines that are no result; what they cost is estimated. */
  unreadable: number
  costNanoUsd: bigint
  /** What was handed over for it, with what its results have used of it. */
  held: HandedMoney | undefined
}

/** How far a settlement has come, also where it is broken off. */
export interface SettleProgress {
  /** Lines taken so far. */
  lines: number
  /** Of what was handed over for the batch. Undefined: nothing was. */
  use: HandedUse | undefined
}

/** Of a longer line only what counts is kept: one of vectors, images or sound may have any size. */
const maxLineBytes = 4 * 1024 * 1024
/** Events between two turns of the loop: calls go on beside a batch of a hundred thousand. */
const eventsPerTurn = 32
/** Events that wait for NATS; more would only fill the disk. */
const maxUnpublished = 20_000

/**
 * Writes the event of every result into the journal, from the results as they come, in memory for one of them. Broken off at
 * any point it is done again from the start: each event has the id it had before, and counts once.
 * @param stillOurs asked now and then, throws where the work is another gateway's meanwhile
 * @throws ProviderAwayError, Error where results are missing: nothing may be called settled then
 */
export async function settleResults(
  deps: SettleDeps,
  route: Route,
  job: OwnedBatch,
  standing: BatchStanding,
  control: {
    headers: readonly string[]
    stillOurs: () => Promise<void>
    signal: AbortSignal
    progress: SettleProgress
  },
): Promise<SettledResults> {
  const dialect = batchDialects[job.dialect]
  const books = booksOf(deps.prices, job)
  const finishedAtMs = standing.endedAtMs ?? Date.now()
  const target = job.creator.target_endpoint
  const unread: (UnreadLine & { place: string })[] = []
  let events = 0
  const settle = async (result: BatchResult): Promise<void> => {
    const event = deps.journal.close(draftOfResult(job, result, books, finishedAtMs), {
      urgent: false,
      // Many in one write; that all of them are on the disk is waited for at the end.
      written: () => {},
    })
    total.costNanoUsd += BigInt(event.cost_nano_usd)
    control.progress.use?.count(event)
    deps.onResult(event, result.outcome)
    await control.stillOurs()
    if (++events % eventsPerTurn === 0) {
      await nextTurn()
      await untilTaken(deps.journal, control)
    }
  }
  const total: SettledResults = { results: 0, succeeded: 0, unreadable: 0, costNanoUsd: 0n, held: undefined }
  for (const [fileIndex, path] of dialect.resultPaths(standing).entries()) {
    const { status, body } = await askForStream(deps, route, {
      method: 'GET',
      path: `${route.basePath}${path}`,
      headers: control.headers,
      signal: control.signal,
    })
    try {
      if (status !== 200) throw new Error(`the provider answered ${status} for the results`)
      let lineIndex = 0
      for await (const line of readLines(body, {
        maxBytes: maxLineBytes,
        openLong: () => new LongLine(dialect, target),
      })) {
        control.progress.lines++
        const place = `${fileIndex}.${lineIndex++}`
        const read = readResultLine(line, dialect, target)
        if ('unread' in read) {
          total.unreadable++
          if (unread.length < job.creator.request_count) unread.push({ ...read.unread, place })
          continue
        }
        await settle(read.result)
        total.results++
        if (read.result.usage) total.succeeded++
      }
    } finally {
      body.destroy()
    }
  }
  const expected = standing.requestCount ?? job.creator.request_count
  if (total.results + total.unreadable < expected)
    throw new Error(`the provider gave ${total.results + total.unreadable} of ${expected} results`)
  // No more of them than there are results missing: a line that stands for none costs nothing.
  for (const line of unread.slice(0, Math.max(0, expected - total.results)))
    await settle(resultOfUnread(line, line.place, dialect, target))
  await deps.journal.synced()
  total.held = control.progress.use?.settled()
  return total
}

/** The books of the creation. One that is gone for ever leaves results unpriced. @throws Error where it is on its way here */
function booksOf(prices: PricesView, job: OwnedBatch): PriceBooks | undefined {
  const { price_book_id: id, override_price_book_id: overrideId } = job.creator
  for (const wanted of [id, overrideId])
    if (wanted !== undefined && !prices.find(wanted) && prices.isPublished(wanted))
      throw new Error(`price book ${wanted} is not loaded yet`)
  const book = prices.find(id)
  return book && { book, override: overrideId === undefined ? undefined : prices.find(overrideId) }
}

/** Events must have a place on the disk and a way out: a batch can wait, calls cannot. */
async function untilTaken(
  journal: Journal,
  control: { stillOurs: () => Promise<void>; signal: AbortSignal },
): Promise<void> {
  while (journal.state !== 'ok' || journal.unpublishedEvents() > maxUnpublished) {
    await delay(250, undefined, { signal: control.signal })
    await control.stillOurs()
  }
}
