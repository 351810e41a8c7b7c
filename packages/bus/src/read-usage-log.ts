import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { UsageLogBatch, UsageLogRequest, usageLogHeaders, usageLogSubject } from '@sluice/contracts'
import type { Bus } from './connect.ts'

const decompress = promisify(zstdDecompress)

/** A page of billing's usage log. */
export interface UsageLogPage {
  lines: string[]
  /** Where the next page begins; undefined: this is the last. */
  next: string | undefined
  /** Number of the newest batch in the log. */
  head: number
}

/** Thrown where billing says that it cannot answer; the message is billing's own. */
export class UsageLogError extends Error {
  override name = 'UsageLogError'
}

const answerMs = 30_000
const retryMs = [250, 500, 1_000, 2_000, 5_000]

/**
 * Reads billing's usage log page by page, live and archived days alike, as fast as the caller takes them. Billing or the bus
 * being away only delays it: a page is asked for again until it comes. Take `next` of a page that was applied as `after`.
 * @throws UsageLogError where billing has the request and cannot serve it (an archive that is away or damaged)
 */
export async function* readUsageLog(
  bus: Bus,
  request: UsageLogRequest,
  signal?: AbortSignal,
): AsyncGenerator<UsageLogPage> {
  for (let after: string | undefined = request.after; after !== undefined; ) {
    const page: UsageLogPage = await askUntilAnswered(bus, { ...request, after }, signal)
    after = page.next
    yield page
  }
}

async function askUntilAnswered(bus: Bus, request: UsageLogRequest, signal?: AbortSignal): Promise<UsageLogPage> {
  for (let tries = 0; ; tries++) {
    signal?.throwIfAborted()
    try {
      return await ask(bus, request)
    } catch (error) {
      if (error instanceof UsageLogError || bus.connection.isClosed()) throw error
      await delay(retryMs[Math.min(tries, retryMs.length - 1)], undefined, signal ? { signal } : {})
    }
  }
}

async function ask(bus: Bus, request: UsageLogRequest): Promise<UsageLogPage> {
  const answer = await bus.connection.request(usageLogSubject, UsageLogRequest.encode(request), { timeout: answerMs })
  const header = (name: string) => answer.headers?.get(name) ?? ''
  const error = header(usageLogHeaders.error)
  if (error !== '') throw new UsageLogError(error)
  const text = (await decompress(answer.data)).toString()
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return { lines, next: header(usageLogHeaders.next) || undefined, head: Number(header(usageLogHeaders.head)) }
}

/** The batches in the lines of a page of kind `usage`. */
export function batchesOf(page: UsageLogPage): { batch: UsageLogBatch; lines: string[] }[] {
  const batches: { batch: UsageLogBatch; lines: string[] }[] = []
  for (let at = 0; at < page.lines.length; ) {
    const batch = UsageLogBatch.decode(page.lines[at] ?? '')
    const end = at + 1 + batch.last - batch.first + 1
    batches.push({ batch, lines: page.lines.slice(at + 1, end) })
    at = end
  }
  return batches
}
