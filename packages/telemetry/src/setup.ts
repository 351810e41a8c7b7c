/**
 * Loaded before a service: `node --import @sluice/telemetry/setup src/main.ts`. Traces HTTP and PostgreSQL, passes W3C trace
 * context on, and puts what is measured of HTTP beside our own in `metricsText()`. Not for the gateway: see `sampled-spans.ts`.
 */

// Without a collector the SDK would try localhost for ever: spans are made only where they can go.
const exportsTraces = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_TRACES_EXPORTER',
].some(name => process.env[name])

if (exportsTraces) {
  const { startTracing } = await import('./start-tracing.ts')
  startTracing()
} else {
  const { measureOnly } = await import('./measure-only.ts')
  measureOnly()
}
