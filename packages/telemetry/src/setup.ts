/**
 * Loaded before a service: `node --import @sluice/telemetry/setup src/main.ts`. Traces HTTP and PostgreSQL, passes W3C trace
 * context on, and puts OpenTelemetry's metrics beside our own in `metricsText()`. Not for the gateway: see `sampled-spans.ts`.
 */
import { createRequire } from 'node:module'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { addMetricsSource } from './metrics.ts'

// Without a collector the SDK would try localhost for ever: spans are made only where they can go.
const exportsTraces = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_TRACES_EXPORTER',
].some(name => process.env[name])

const metrics = new PrometheusExporter({ preventServerStart: true })
const serializer = new PrometheusSerializer('', false, undefined, true, true)
addMetricsSource(async () => serializer.serialize((await metrics.collect()).resourceMetrics))

const http = new HttpInstrumentation({
  ignoreIncomingRequestHook: request => /^\/(health|metrics)/.test(request.url ?? ''),
})
if (exportsTraces) {
  const { startTracing } = await import('./start-tracing.ts')
  startTracing(metrics, http)
} else {
  const { measureOnly } = await import('./measure-only.ts')
  measureOnly(metrics, http)
}
// Patched where it is required the next time; whoever imports it shares the patched prototypes.
createRequire(import.meta.url)('node:http')
