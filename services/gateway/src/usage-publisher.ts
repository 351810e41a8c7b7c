import { type Bus, cloudEventHeaders, publishOften } from '@sluice/bus'
import {
  type Mark,
  PARTITIONS,
  rangeId,
  rangeToHeaders,
  type Series,
  type SeriesRange,
  UsageRecorded,
} from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import { MissingNumbers } from './journal/missing-numbers.ts'

/*
 * Publishes what journals hold as `usage.recorded.v1.<partition>`, off the path of any call.
 *
 * A lane per series has one message in flight. Its next message is cut when the ack is there, from all that has come
 * meanwhile (≤ 256 events, ≤ 512 kB): order in the stream is the order of the series without any resending protocol, and a
 * slower server gets larger messages instead of more of them. Eight lanes of 256 events at an ack time of 5 ms are 400,000
 * events a second, far beyond what a gateway admits, so pipelining would buy nothing.
 *
 * When NATS is away, the message in flight is tried again, for ever, with the same borders and so the same id: within the
 * server's duplicate window it is stored once, beyond it consumers know the range. Pauses grow from 100 ms to 5 s and end
 * at a reconnect. Lanes hold at most 8 MiB of what was read; the rest stays in the segments and is read when there is room:
 * memory is the same after a minute and after a day.
 */

/** An event as it stands in a journal: its place in its series and its JSON, byte for byte. */
export interface UsageLine {
  partition: number
  seq: number
  json: Buffer
}

/** One epoch's events. */
export interface UsageSource {
  gatewayId: string
  epoch: number
  /** The last number of each partition before the first that will be read. */
  before: readonly number[]
  /** The next events in the order of the journal; none: there are no more for now. */
  next: () => Promise<UsageLine[]>
  /** Everything that is still in the journal, once more from its oldest. */
  readAgain: () => AsyncIterable<UsageLine[]>
}

/** An epoch being published. */
export interface Publication {
  /** There may be more to read. */
  wake: () => void
  /** The last number of each partition that the stream has, or billing has posted. */
  readonly acked: readonly number[]
  /** Nothing read waits for an ack, and the last reading found nothing more. */
  readonly idle: boolean
  /** Publishes again what billing misses; called each second. */
  repair: () => void
  /** Stops after the messages in flight. */
  close: () => Promise<void>
}

/** Reads how far billing has posted a series. */
export type FindMark = (series: Series) => Mark | undefined

export interface UsagePublisher {
  follow: (source: UsageSource) => Publication
}

export interface UsagePublisherOptions {
  bus: Bus
  findMark: FindMark
  log: Logger
  now?: () => number
  /** A gap in billing's marks that is this old is published again. */
  gapAfterMs?: number
}

const maxEvents = 256
const maxBytes = 512 * 1024
const maxQueuedBytes = 8 * 1024 * 1024
const newline = 0x0a
/** What was acknowledged and is not posted for longer than this is published again: the stream may have lost it. */
const unpostedAfterMs = 15 * 60_000

interface Lane {
  partition: number
  queue: UsageLine[]
  sending: boolean
  numbers: MissingNumbers
  acked: number
  /** Since when billing's mark stands at `contiguous`. */
  stalled: { contiguous: number; sinceMs: number } | undefined
}

export function createUsagePublisher(options: UsagePublisherOptions): UsagePublisher {
  const { bus, findMark, log } = options
  const now = options.now ?? Date.now
  const gapAfterMs = options.gapAfterMs ?? 30_000
  const sleeping = new Set<() => void>()
  void (async () => {
    for await (const status of bus.connection.status()) {
      if (status.type === 'reconnect') for (const wakeUp of sleeping) wakeUp()
    }
  })()

  const pause = (ms: number): Promise<void> =>
    new Promise(resolve => {
      const timer = setTimeout(done, ms)
      function done(): void {
        clearTimeout(timer)
        sleeping.delete(done)
        resolve()
      }
      sleeping.add(done)
    })

  async function send(range: SeriesRange, lines: readonly UsageLine[], msgID: string): Promise<void> {
    const headers = cloudEventHeaders(
      { id: rangeId(range), source: `/gateway/${range.gatewayId}`, type: UsageRecorded.type, timeMs: now() },
      'application/x-ndjson',
    )
    for (const [name, value] of rangeToHeaders(range)) headers.set(name, value)
    const subject = UsageRecorded.subject(range.partition)
    await publishOften(bus, subject, joinLines(lines), { msgID, headers, timeoutMs: 5_000 })
  }

  function follow(source: UsageSource): Publication {
    const { gatewayId, epoch } = source
    let closed = false
    let queuedBytes = 0
    let reading: Promise<void> | undefined
    let readAgain = false
    let repairing: Promise<void> | undefined
    const running = new Set<Promise<void>>()

    const lanes: Lane[] = Array.from({ length: PARTITIONS }, (_, partition) => {
      const before = source.before[partition] ?? 0
      const posted = findMark({ gatewayId, epoch, partition })?.contiguous ?? 0
      return {
        partition,
        queue: [],
        sending: false,
        numbers: new MissingNumbers(before),
        acked: Math.max(before, posted),
        stalled: undefined,
      }
    })

    const rangeOf = (lines: readonly UsageLine[]): SeriesRange => {
      const [first, last] = [lines[0], lines.at(-1)]
      if (!first || !last) throw new Error('no events')
      return { gatewayId, epoch, partition: first.partition, first: first.seq, last: last.seq }
    }

    /** Resolves when the stream has it, or the publication is closed. */
    async function sendUntilAcked(lines: readonly UsageLine[], suffix = ''): Promise<boolean> {
      const range = rangeOf(lines)
      for (let tries = 0; !closed; tries++) {
        try {
          if (!bus.isConnected()) throw new Error('bus is away')
          await send(range, lines, rangeId(range) + suffix)
          return true
        } catch (err) {
          if (tries % 10 === 0)
            log.warn({ err, range: rangeId(range), tries }, 'usage not published, will be tried again')
          if (!closed) await pause(Math.min(100 * 2 ** tries, 5_000))
        }
      }
      return false
    }

    async function runLane(lane: Lane): Promise<void> {
      while (lane.queue.length > 0 && !closed) {
        const lines = cutRange(lane.queue)
        if (!(await sendUntilAcked(lines))) return
        lane.acked = Math.max(lane.acked, lines.at(-1)?.seq ?? 0)
        for (const line of lines) queuedBytes -= line.json.length
        if (queuedBytes < maxQueuedBytes / 2) wake()
      }
    }

    function start(lane: Lane): void {
      if (lane.sending || lane.queue.length === 0 || closed) return
      lane.sending = true
      const run = runLane(lane).finally(() => {
        lane.sending = false
        running.delete(run)
        start(lane)
      })
      running.add(run)
    }

    async function read(): Promise<void> {
      do {
        readAgain = false
        while (!closed && queuedBytes < maxQueuedBytes) {
          const lines = await source.next()
          if (lines.length === 0) break
          for (const line of lines) {
            const lane = lanes[line.partition]
            if (!lane?.numbers.see(line.seq)) continue
            if (line.seq <= postedTo(lane)) {
              lane.acked = Math.max(lane.acked, line.seq)
              continue
            }
            lane.queue.push(line)
            queuedBytes += line.json.length
          }
          for (const lane of lanes) start(lane)
        }
      } while (readAgain && !closed)
    }

    function wake(): void {
      readAgain = true
      if (closed || reading) return
      reading = read()
        .catch(err => {
          log.error({ err, gatewayId, epoch }, 'journal not read, will be tried again')
          readAgain = false
          if (!closed) setTimeout(wake, 1_000).unref()
        })
        .finally(() => {
          reading = undefined
          if (readAgain) wake()
        })
    }

    const markOf = (lane: Lane): Mark | undefined => findMark({ gatewayId, epoch, partition: lane.partition })
    const postedTo = (lane: Lane): number => markOf(lane)?.contiguous ?? 0

    /** Numbers that the stream acknowledged and billing has had time enough to post. */
    function findMissed(lane: Lane): { first: number; last: number } | undefined {
      const mark = markOf(lane) ?? { contiguous: 0, last: 0 }
      if (mark.contiguous >= lane.acked) {
        lane.stalled = undefined
        return undefined
      }
      if (lane.stalled?.contiguous !== mark.contiguous) {
        lane.stalled = { contiguous: mark.contiguous, sinceMs: now() }
        return undefined
      }
      const hasGap = mark.last > mark.contiguous
      if (now() - lane.stalled.sinceMs < (hasGap ? gapAfterMs : unpostedAfterMs)) return undefined
      lane.stalled.sinceMs = now()
      return { first: mark.contiguous + 1, last: hasGap ? Math.min(mark.last, lane.acked) : lane.acked }
    }

    async function publishAgain(missed: ReadonlyMap<number, { first: number; last: number }>): Promise<void> {
      log.warn({ gatewayId, epoch, series: missed.size }, 'usage is missing in the ledger, it is published again')
      // Another id than the first time: the server would take it for a duplicate.
      const suffix = `~${now()}`
      for await (const lines of source.readAgain()) {
        for (const [partition, { first, last }] of missed) {
          const wanted = lines.filter(line => line.partition === partition && line.seq >= first && line.seq <= last)
          while (wanted.length > 0) if (!(await sendUntilAcked(cutRange(wanted), suffix))) return
        }
      }
    }

    return {
      wake,
      get acked() {
        return lanes.map(lane => lane.acked)
      },
      get idle() {
        return !reading && lanes.every(lane => !lane.sending && lane.queue.length === 0)
      },
      repair() {
        if (repairing || closed || !bus.isConnected()) return
        const missed = new Map<number, { first: number; last: number }>()
        for (const lane of lanes) {
          const range = findMissed(lane)
          if (range) missed.set(lane.partition, range)
        }
        if (missed.size === 0) return
        repairing = publishAgain(missed)
          .catch(err => log.error({ err, gatewayId, epoch }, 'usage not published again, will be tried again'))
          .finally(() => {
            repairing = undefined
          })
      },
      async close() {
        closed = true
        for (const wakeUp of sleeping) wakeUp()
        await reading
        await repairing
        await Promise.all(running)
      },
    }
  }

  return { follow }
}

function joinLines(lines: readonly UsageLine[]): Buffer {
  let length = lines.length - 1
  for (const { json } of lines) length += json.length
  const joined = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const { json } of lines) {
    if (at > 0) joined[at++] = newline
    joined.set(json, at)
    at += json.length
  }
  return joined
}

/** Takes the next message off the queue: consecutive numbers, bounded in count and bytes. */
function cutRange(queue: UsageLine[]): UsageLine[] {
  let count = 0
  let bytes = 0
  for (const line of queue) {
    const previous = queue[count - 1]
    if (count === maxEvents || (previous && line.seq !== previous.seq + 1)) break
    bytes += line.json.length + 1
    if (count > 0 && bytes > maxBytes) break
    count++
  }
  return queue.splice(0, count)
}
