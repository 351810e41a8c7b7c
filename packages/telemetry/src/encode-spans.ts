import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { toSpan } from './sampled-spans.ts'
import type { FinishedCall, SampledCall } from './spans.ts'

/** A span that somebody else made, to be sent to a collector of theirs. */
export interface FinishedSpan {
  call: SampledCall
  finished: FinishedCall
}

/** The body of an OTLP request (`application/x-protobuf`): spans of one service, with nothing of this process about them. */
export function encodeSpans(serviceName: string, spans: readonly FinishedSpan[]): Uint8Array {
  const resource = resourceFromAttributes({ 'service.name': serviceName })
  const request = ProtobufTraceSerializer.serializeRequest(
    spans.map(({ call, finished }) => toSpan(call, finished, resource)),
  )
  if (!request) throw new Error('spans that cannot be written')
  return request
}
