import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import {
  applyInHalves,
  type BatchConsumer,
  type BatchConsumerOptions,
  type Bus,
  consumeBatches,
  type JsMsg,
  readAgain,
  readMessages,
} from '@sluice/bus'
import type { Logger } from '@sluice/runtime'
import { isRefusedByClickhouse, isRefusedForGood } from '../dead-letter-store.ts'
import { noteDeadLetters, noteInserted } from '../events.ts'
import type { RecentCalls } from '../recent-calls.ts'
import { buryRun, splitRun } from '../refused-run.ts'
import { readUsageMessage, type UsageMessage } from '../usage-message.ts'
import { toUsageRow } from '../usage-row.ts'
import { planRuns, type UsageRun } from '../usage-run.ts'
import { type UsageWriterDeps, writeRun } from '../usage-writer.ts'
import { pace } from './pace.ts'

export interface UsageConsumerDeps extends UsageWriterDeps {
  recent: RecentCalls
  logger: Logger
  /** Least time between two inserts. */
  insertWindowMs: number
}

/** 5,000 rows of JSON hold up the loop for about 30 ms. */
const maxRowsPerInsert = 5_000
const consumerName = 'analytics-rows'
const restartMs = 1_000

/**
 * `usage.recorded.v1`, `usage.adjusted.v1` and `gateway.epoch-closed.v1` into rows. Calls can be looked up as soon as they
 * are read; a message is acknowledged when its rows are inserted and its marks are set. Ends interrupted inserts first,
 * and waits as long as that takes: a store that is away delays it, nothing more.
 */
export function consumeUsage(bus: Bus, deps: UsageConsumerDeps): BatchConsumer {
  const stopping = new AbortController()
  const { signal } = stopping
  const options = batchOptions(deps)
  let consumer: BatchConsumer | undefined
  const starting = (async () => {
    while (!signal.aborted) {
      try {
        await finishInterruptedInserts(bus, deps)
        await readMissed(bus, deps, options)
        if (!signal.aborted) consumer = await consumeBatches(bus, consumerName, options)
        return
      } catch (err) {
        deps.logger.warn({ err }, 'usage consumer not started, will be tried again')
        await delay(restartMs, undefined, { signal }).catch(() => undefined)
      }
    }
  })()
  return {
    isHealthy: () => consumer?.isHealthy() ?? false,
    close: async () => {
      stopping.abort()
      await starting
      await consumer?.close()
    },
  }
}

function batchOptions(deps: UsageConsumerDeps): BatchConsumerOptions {
  const untilWindow = pace(deps.insertWindowMs)
  return {
    log: deps.logger,
    maxMessages: 64,
    handle: async messages => {
      const read: UsageMessage[] = []
      for (const message of messages) {
        read.push(readJetStreamMessage(message))
        noteRecent(deps.recent, read.at(-1))
        await nextTurn()
      }
      await untilWindow()
      for (const run of planRuns(read, maxRowsPerInsert)) await applyRun(deps, run)
    },
  }
}

/**
 * Ends what a crash has left between intent and mark: forms exactly the same runs again and inserts them. Before anything
 * is consumed.
 */
async function finishInterruptedInserts(bus: Bus, deps: UsageConsumerDeps): Promise<void> {
  const unfinished = await deps.log.findUnfinished()
  for (const { first, last } of unfinished) {
    const messages: UsageMessage[] = []
    for await (const message of readMessages(bus, 'USAGE', first, last)) messages.push(readUsageMessage(message))
    if (messages.length < last - first + 1)
      deps.logger.error(
        { first, last, found: messages.length },
        'interrupted insert: messages are gone from the stream',
      )
    await applyRun(deps, { first, last, messages })
    deps.logger.info({ first, last }, 'interrupted insert finished')
  }
}

/**
 * Reads again what the durable consumer was given and this database does not know: it was restored, or a series has a gap.
 * What is known is skipped by the marks.
 */
async function readMissed(bus: Bus, deps: UsageConsumerDeps, options: BatchConsumerOptions): Promise<void> {
  const from = await deps.log.findPositionToReadFrom()
  const read = await readAgain(bus, consumerName, from, options.handle)
  if (read > 0) deps.logger.warn({ from, messages: read }, 'usage read again')
}

/** Applies a run; what a store refuses for its content becomes a dead letter alone, and the rest goes in around it. */
async function applyRun(deps: UsageConsumerDeps, run: UsageRun): Promise<void> {
  const parts = await applyInHalves([run], {
    apply: async ([part]) => {
      if (part) await applyPart(deps, part)
    },
    isRefusal: error => isRefusedForGood(error) || isRefusedByClickhouse(error),
    split: splitRun,
    bury: buryRun,
  })
  // The whole was begun before it was refused: all of it is in by its parts, so nothing is left of that intent.
  if (parts.length > 1) await deps.log.finish(run, { dirtyHours: [], postponed: [], resolved: [] })
}

async function applyPart(deps: UsageConsumerDeps, run: UsageRun): Promise<void> {
  const startedMs = performance.now()
  const { rows, deadLetters } = await writeRun(deps, run)
  for (const row of rows) if (row.version > 0) deps.recent.noteAttempt(row)
  if (rows.length > 0) noteInserted(rows.length, performance.now() - startedMs)
  if (deadLetters > 0) noteDeadLetters(deps.logger, { stream: 'USAGE', first: run.first, last: run.last, deadLetters })
}

function readJetStreamMessage(message: JsMsg): UsageMessage {
  return readUsageMessage({
    seq: message.seq,
    subject: message.subject,
    header: name => message.headers?.get(name) ?? '',
    data: message.data,
  })
}

function noteRecent(recent: RecentCalls, message: UsageMessage | undefined): void {
  if (message?.kind !== 'recorded') return
  for (const event of message.events) recent.noteAttempt(toUsageRow(event, message.streamSeq))
}
