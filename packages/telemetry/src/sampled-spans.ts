import { randomFillSync } from 'node:crypto'
import { type HrTime, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, type Resource, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace'
import type { FinishedCall, SampledCall, SampledSpans, SpansOptions } from './spans.ts'
import { parseTraceparent, type TraceContext } from './trace-context.ts'

interface SampledSpansOptions extends SpansOptions {
  /** Default: OTLP over HTTP, to where `OTEL_EXPORTER_OTLP_ENDPOINT` points. */
  exporter?: SpanExporter
  random?: () => number
}

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

/** As exporters take them. */
export function toSpan(call: SampledCall, finished: FinishedCall, resource: Resource): ReadableSpan {
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
