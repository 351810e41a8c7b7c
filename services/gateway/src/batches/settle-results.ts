import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { UsageRecordedData } from '@sluice/contracts'
import type { PriceBooks } from '@sluice/pricing'
import type { Journal } from '../journal/journal.ts'
import type { Route } from '../resolve-route.ts'
import type { PricesView } from '../views/prices-view.ts'
import { type AskDeps, askForStream } from './ask-provider.ts'
import { type BatchStanding, batchDialects } from './batch-dialect.ts'
import { draftOfResult, type OwnedBatch } from './batch-draft.ts'
import { readLines } from './read-lines.ts'

export interface SettleDeps extends AskDeps {
  journal: Journal
  prices: PricesView
  onResult: (event: UsageRecordedData, outcome: string) => void
}

/** What the results of a batch amount to. */
export interface SettledResults {
  results: number
  succeeded: number
  unreadable: number
  costNanoUsd: bigint
}

/** A result is a message and its name: the longest answers of today's models are a tenth of it. */
const maxLineBytes = 16 * 1024 * 1024
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
    /** Lines taken so far, also where it is broken off. */
    progress: { lines: number }
  },
): Promise<SettledResults> {
  const dialect = batchDialects[job.dialect]
  const books = booksOf(deps.prices, job)
  const finishedAtMs = standing.endedAtMs ?? Date.now()
  const total: SettledResults = { results: 0, succeeded: 0, unreadable: 0, costNanoUsd: 0n }
  for (const path of dialect.resultPaths(standing)) {
    const { status, body } = await askForStream(deps, route, {
      method: 'GET',
      path: `${route.basePath}${path}`,
      headers: control.headers,
      signal: control.signal,
    })
    try {
      if (status !== 200) throw new Error(`the provider answered ${status} for the results`)
      for await (const line of readLines(body, maxLineBytes)) {
        control.progress.lines++
        const result = line && readResult(line, value => dialect.readResult(value, job.creator.target_endpoint))
        if (!result) {
          total.unreadable++
          continue
        }
        const event = deps.journal.close(draftOfResult(job, result, books, finishedAtMs), {
          urgent: false,
          // Many in one write; that all of them are on the disk is waited for at the end.
          written: () => {},
        })
        total.results++
        if (result.usage) total.succeeded++
        total.costNanoUsd += BigInt(event.cost_nano_usd)
        deps.onResult(event, result.outcome)
        await control.stillOurs()
        if (total.results % eventsPerTurn === 0) {
          await nextTurn()
          await untilTaken(deps.journal, control)
        }
      }
    } finally {
      body.destroy()
    }
  }
  const expected = standing.requestCount ?? job.creator.request_count
  if (total.results + total.unreadable < expected)
    throw new Error(`the provider gave ${total.results + total.unreadable} of ${expected} results`)
  await deps.journal.synced()
  return total
}

function readResult<T>(line: Buffer, read: (value: unknown) => T): T | undefined {
  try {
    return read(JSON.parse(line.toString('utf8')))
  } catch {
    return undefined
  }
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
