import type { FinishedSpan } from '@sluice/telemetry/encode-spans'
import type { Collector, SendOutcome, SendSpans } from './send-spans.ts'

/** Spans of one project on their way: one request at a time, what does not fit is dropped. */
export interface SpanQueue {
  add: (span: FinishedSpan) => void
  close: () => Promise<void>
}

export interface SpanQueueDeps {
  collector: Collector
  send: SendSpans
  /** Told of each request, and of spans that were dropped. */
  onSent: (outcome: SendOutcome, spans: number) => void
  onDropped: () => void
  waitMs?: number
}

const mostWaiting = 2_048
const mostInRequest = 256

/** Sends what has gathered every two seconds, at once where there is a request's worth. A request that fails is not made again. */
export function createSpanQueue({ collector, send, onSent, onDropped, waitMs = 2_000 }: SpanQueueDeps): SpanQueue {
  const waiting: FinishedSpan[] = []
  let timer: NodeJS.Timeout | undefined
  let sending: Promise<void> | undefined

  async function sendAll(): Promise<void> {
    while (waiting.length > 0) {
      const spans = waiting.splice(0, mostInRequest)
      const outcome = await send(collector, spans)
      onSent(outcome, spans.length)
      // Whoever does not answer is asked again later, not for each request's worth that has piled up.
      if (!outcome.ok) return
    }
  }
  const flush = (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    sending ??= sendAll().finally(() => {
      sending = undefined
      if (waiting.length > 0) schedule()
    })
    return sending
  }
  const schedule = () => {
    timer ??= setTimeout(() => void flush(), waitMs)
  }
  return {
    add(span) {
      if (waiting.length >= mostWaiting) return onDropped()
      waiting.push(span)
      if (waiting.length >= mostInRequest && !sending) void flush()
      else schedule()
    },
    async close() {
      await flush()
      clearTimeout(timer)
    },
  }
}
