import { type CallRefusedData, totalInputTokens, totalOutputTokens, type UsageRecordedData } from '@sluice/contracts'
import type { Logger } from '@sluice/runtime'
import {
  type CounterSeries,
  counter,
  directCounter,
  gauge,
  genAiAttributes,
  measureCall,
  type SampledSpans,
} from '@sluice/telemetry'
import type { AdmittedCall } from './call.ts'

const calls = directCounter('gateway_calls_total', 'Calls settled, by how they ended', ['dialect', 'status'])
const refusals = counter('gateway_calls_refused_total', 'Calls refused', ['reason'])
const cuts = counter('gateway_calls_cut_total', 'Running calls ended by a cutoff, a revocation or a stop', ['reason'])
const faults = counter('gateway_internal_errors_total', 'Calls that met a fault of the gateway')
const doubted = counter('gateway_usage_doubts_total', 'Calls whose provider told numbers that want a look', ['doubt'])
const exceeded = counter(
  'gateway_bounds_exceeded_total',
  'Calls that have used more of a hard budget than the bound they were let in with',
)
const assumed = counter('gateway_calls_assumed_total', 'Calls whose cost holds a rate that was assumed')
const unpriced = counter('gateway_calls_unpriced_total', 'Calls settled with a quantity that has no rate')

const counted = counter(
  'gateway_texts_counted_total',
  'Texts whose tokens nobody told: counted by the vocabulary or, where a second had no time left for that, told from bytes',
  ['by'],
)
const undrained = counter(
  'gateway_drains_refused_total',
  'Calls of clients that left, ended as under cancel for want of room',
)

/** Of `calls`, by dialect and status: finding a counter by its labels costs more than counting. */
const boundCalls = new Map<string, Map<string, CounterSeries>>()

function countCall({ dialect, status }: UsageRecordedData): void {
  let byStatus = boundCalls.get(dialect)
  if (!byStatus) {
    byStatus = new Map()
    boundCalls.set(dialect, byStatus)
  }
  let bound = byStatus.get(status)
  if (!bound) {
    bound = calls.bind(dialect, status)
    byStatus.set(status, bound)
  }
  bound.inc()
}

/** What the gateway tells its operator, one function an event: counter, and log line where one is worth its cost. */
export function createGatewayEvents(log: Logger, spans: SampledSpans) {
  /** A stream that is paid for as it goes on may run over what it holds: that says nothing of its bound. */
  function tellExceeded({ pace, money }: AdmittedCall, event: UsageRecordedData): void {
    if (pace || !money || money.exceeded.length === 0) return
    exceeded.inc()
    const budgetIds = money.exceeded.map(({ budget }) => budget.budget_id)
    const { call_id: callId, event_id: eventId, endpoint } = event
    log.warn({ callId, eventId, endpoint, budgetIds }, 'a call has used more of its budgets than it was bounded by')
  }

  return {
    callSettled(call: AdmittedCall, event: UsageRecordedData): void {
      countCall(event)
      if (!event.priced) unpriced.inc()
      if (event.assumed) assumed.inc()
      for (const doubt of event.doubts ?? []) doubted.labels(doubt).inc()
      tellExceeded(call, event)
      if (event.status === 'cut') cuts.labels(event.cut_by?.reason ?? 'unknown').inc()
      const inputTokens = totalInputTokens(event.quantities)
      const outputTokens = totalOutputTokens(event.quantities)
      // The catalogue's name, never the client's text: it is a metric's label.
      const model = call.prices.book.find(event.provider, event.requested_model)?.entry.id ?? 'other'
      measureCall({
        operation: call.endpoint.operation,
        provider: event.provider,
        model,
        durationSeconds: event.duration_ms / 1000,
        timeToFirstChunkSeconds:
          event.time_to_first_chunk_ms !== undefined && event.streamed
            ? event.time_to_first_chunk_ms / 1000
            : undefined,
        inputTokens: inputTokens > 0 ? inputTokens : undefined,
        outputTokens: outputTokens > 0 ? outputTokens : undefined,
        errorType: event.error_code,
      })
      if (call.span) {
        spans.finish(call.span, {
          name: `${call.endpoint.operation} ${event.requested_model}`,
          kind: 'client',
          startedAtMs: event.admitted_at_ms,
          finishedAtMs: event.finished_at_ms,
          attributes: {
            [genAiAttributes.providerName]: event.provider,
            [genAiAttributes.operationName]: call.endpoint.operation,
            [genAiAttributes.requestModel]: event.requested_model,
            ...(event.served_model === undefined ? {} : { [genAiAttributes.responseModel]: event.served_model }),
            [genAiAttributes.inputTokens]: inputTokens,
            [genAiAttributes.outputTokens]: outputTokens,
            'sluice.call.id': event.call_id,
          },
          ...(event.error_code === undefined ? {} : { errorType: event.error_code }),
        })
      }
    },
    callRefused(refused: CallRefusedData): void {
      refusals.labels(refused.reason).inc()
    },
    internalError(err: unknown, callId?: string): void {
      faults.inc()
      log.error({ err, callId }, 'call failed in the gateway')
    },
    textCounted(by: 'vocabulary' | 'bytes'): void {
      counted.labels(by).inc()
    },
    drainRefused(): void {
      undrained.inc()
    },
    callsCut(count: number, reason: string): void {
      if (count > 0) log.info({ count, reason }, 'running calls cut')
    },
    observe(read: {
      activeCalls: () => number
      openSockets: () => number
      drains: () => number
      waitingForMoney: () => number
      bodyMemoryBytes: () => number
      unpublishedEvents: () => number
      journalUnavailable: () => boolean
    }): void {
      gauge('gateway_active_calls', 'Calls under way', { read: read.activeCalls })
      gauge('gateway_open_sockets', 'Sockets of clients', { read: read.openSockets })
      gauge('gateway_drains', 'Providers that are read on for clients that left', { read: read.drains })
      gauge('gateway_calls_waiting_for_money', 'Calls that wait for money of hard budgets', {
        read: read.waitingForMoney,
      })
      gauge('gateway_body_memory_bytes', 'Request bodies in memory', { read: read.bodyMemoryBytes })
      gauge('gateway_unpublished_events', 'Events in the journal that JetStream has not acknowledged', {
        read: read.unpublishedEvents,
      })
      gauge('gateway_journal_unavailable', '1: the disk below the journal is full or broken, no call is let in', {
        read: () => (read.journalUnavailable() ? 1 : 0),
      })
    },
  }
}
export type GatewayEvents = ReturnType<typeof createGatewayEvents>
