import { randomFillSync } from 'node:crypto'
import { type Attributes, type HrTime, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, type Resource, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace'
import { parseTraceparent, type TraceContext } from './trace-context.ts'

/** The trace a sampled call belongs to: its own span's ids and its parent's. */
export interface SampledCall {
  /** Goes to the provider with `formatTraceparent`. */
  context: TraceContext
  parentSpanId: string | undefined
}

/** What is known of a call when it has ended. Texts of prompts and completions have no place here. */
export interface FinishedCall {
  /** `{operation} {request model}`. */
  name: string
  kind: 'server' | 'client'
  startedAtMs: number
  finishedAtMs: number
  attributes: Attributes
  /** A stable code. Absent: it went well. */
  errorType?: string
}

/** Builds spans by hand for the few calls that are sampled. A call that is not costs one comparison. */
export interface SampledSpans {
  /**
   * Decides once a call: a caller's `traceparent` is continued and its sampled flag respected; without one, the ratio
   * decides. undefined: not sampled; pass the caller's header on as it came.
   */
  begin(traceparent: string | undefined): SampledCall | undefined
  /** Hands the finished span to the exporter, in batches, off the path of the call. */
  finish(call: SampledCall, finished: FinishedCall): void
  /** Sends what is left. */
  close(): Promise<void>
}

export interface SampledSpansOptions {
  serviceName: string
  /** Share of calls without a parent that are sampled, 0 to 1. */
  ratio: number
  /** Default: OTLP over HTTP, to where `OTEL_EXPORTER_OTLP_ENDPOINT` points. */
  exporter?: SpanExporter
  random?: () => number
}

/** Where spans are not exported: nothing is sampled, headers pass as they came. */
export const noSpans: SampledSpans = { begin: () => undefined, finish: () => {}, close: async () => {} }

/** Spans without auto-instrumentation, which costs a gateway as much CPU as the call itself even when it samples 1 %. */
export function sampledSpans(options: SampledSpansOptions): SampledSpans {
  const random = options.random ?? Math.random
  const processor = new BatchSpanProcessor({ exporter: options.exporter ?? new OTLPTraceExporter() })
  const resource = defaultResource().merge(resourceFromAttributes({ 'service.name': options.serviceName }))
  return {
    begin(traceparent) {
      if (traceparent === undefined) return random() < options.ratio ? newCall(undefined) : undefined
      const parent = parseTraceparent(traceparent)
      if (parent === undefined) return random() < options.ratio ? newCall(undefined) : undefined
      return parent.sampled ? newCall(parent) : undefined
    },
    finish: (call, finished) => processor.onEnd(toSpan(call, finished, resource)),
    close: () => processor.shutdown(),
  }
}

function newCall(parent: TraceContext | undefined): SampledCall {
  return {
    context: { traceId: parent?.traceId ?? randomId(16), spanId: randomId(8), sampled: true },
    parentSpanId: parent?.spanId,
  }
}

function randomId(bytes: number): string {
  return randomFillSync(Buffer.allocUnsafe(bytes)).toString('hex')
}

function toSpan(call: SampledCall, finished: FinishedCall, resource: Resource): ReadableSpan {
  const { traceId, spanId } = call.context
  const { errorType } = finished
  return {
    name: finished.name,
    kind: finished.kind === 'server' ? SpanKind.SERVER : SpanKind.CLIENT,
    spanContext: () => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED }),
    ...(call.parentSpanId === undefined
      ? {}
      : {
          parentSpanContext: { traceId, spanId: call.parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true },
        }),
    startTime: toHrTime(finished.startedAtMs),
    endTime: toHrTime(finished.finishedAtMs),
    duration: toHrTime(Math.max(0, finished.finishedAtMs - finished.startedAtMs)),
    status:
      errorType === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: errorType },
    attributes: errorType === undefined ? finished.attributes : { ...finished.attributes, 'error.type': errorType },
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: { name: '@sluice/telemetry' },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

function toHrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}
