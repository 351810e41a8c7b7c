import type { Attributes } from '@opentelemetry/api'
import type { TraceContext } from './trace-context.ts'

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

export interface SpansOptions {
  serviceName: string
  /** Share of calls without a parent that are sampled, 0 to 1. */
  ratio: number
}

/** Where spans are not exported: nothing is sampled, headers pass as they came. */
export const noSpans: SampledSpans = { begin: () => undefined, finish: () => {}, close: async () => {} }

/** Spans for whoever exports them: the exporter and all that belongs to it is loaded here and nowhere else. */
export async function openSpans(options: SpansOptions): Promise<SampledSpans> {
  const { sampledSpans } = await import('./sampled-spans.ts')
  return sampledSpans(options)
}
