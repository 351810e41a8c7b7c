import assert from 'node:assert/strict'
import test from 'node:test'
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace'
import { sampledSpans } from './sampled-spans.ts'
import { formatTraceparent } from './trace-context.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const open = (ratio: number, random = () => 0.5) => {
  const exporter = new InMemorySpanExporter()
  // Shutting the memory exporter down would clear it before a test looks.
  exporter.shutdown = async () => {}
  return { exporter, spans: sampledSpans({ serviceName: 'gateway', ratio, exporter, random }) }
}

test("a caller's sampled trace is continued in one span below the caller's", async () => {
  const { exporter, spans } = open(0)
  const call = spans.begin(`00-${traceId}-${spanId}-01`)
  assert.ok(call)
  assert.equal(call.context.traceId, traceId)
  assert.notEqual(call.context.spanId, spanId)
  assert.match(formatTraceparent(call.context), new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
  spans.finish(call, {
    name: 'chat gpt-5',
    kind: 'client',
    startedAtMs: 1_700_000_000_250.5,
    finishedAtMs: 1_700_000_001_000,
    attributes: { 'gen_ai.usage.input_tokens': 20 },
    errorType: 'provider_timeout',
  })
  await spans.close()
  const [span] = exporter.getFinishedSpans()
  assert.ok(span)
  assert.equal(span.name, 'chat gpt-5')
  assert.equal(span.spanContext().spanId, call.context.spanId)
  assert.equal(span.parentSpanContext?.spanId, spanId)
  assert.deepEqual(span.startTime, [1_700_000_000, 250_500_000])
  assert.deepEqual(span.duration, [0, 749_500_000])
  assert.deepEqual(span.attributes, { 'gen_ai.usage.input_tokens': 20, 'error.type': 'provider_timeout' })
  assert.equal(span.resource.attributes['service.name'], 'gateway')
})

test('a caller who says "not sampled" is not sampled, whatever the ratio', () => {
  assert.equal(open(1).spans.begin(`00-${traceId}-${spanId}-00`), undefined)
})

test('without a caller the ratio decides, and a malformed header counts as none', () => {
  for (const header of [undefined, 'nonsense']) {
    assert.equal(open(0.01, () => 0.011).spans.begin(header), undefined)
    const call = open(0.01, () => 0.009).spans.begin(header)
    assert.equal(call?.parentSpanId, undefined)
    assert.match(call?.context.traceId ?? '', /^[0-9a-f]{32}$/)
  }
})
