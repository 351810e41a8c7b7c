/**
 * Loaded before a service: `node --import @sluice/telemetry/setup src/main.ts`. Traces HTTP and PostgreSQL, passes W3C trace
 * context on, and puts OpenTelemetry's metrics beside our own in `metricsText()`. Not for the gateway: see `sampled-spans.ts`.
 */
import { createRequire, register } from 'node:module'
import { pathToFileURL } from 'node:url'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { addMetricsSource } from './metrics.ts'

// Without a collector the SDK would try localhost for ever: spans are made only where they can go.
const exportsTraces = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_TRACES_EXPORTER',
].some(name => process.env[name])

// Statements are traced where traces go anywhere. ES modules are patched while they are loaded, by a hook that the
// instrumentation brings and that more than doubles the time a service takes to start; so only then, and only what is
// named here: wrapped, a module that re-exports one name twice would lose it.
const require = createRequire(createRequire(import.meta.url).resolve('@opentelemetry/instrumentation-pg'))
if (exportsTraces)
  register(pathToFileURL(require.resolve('@opentelemetry/instrumentation/hook.mjs')).href, {
    data: { include: ['http', 'https', 'pg', 'pg-pool'] },
  })

const metrics = new PrometheusExporter({ preventServerStart: true })
const serializer = new PrometheusSerializer('', false, undefined, true, true)
addMetricsSource(async () => serializer.serialize((await metrics.collect()).resourceMetrics))

const sdk = new NodeSDK({
  metricReaders: [metrics],
  logRecordProcessors: [],
  ...(exportsTraces ? {} : { spanProcessors: [] }),
  instrumentations: [
    new HttpInstrumentation({ ignoreIncomingRequestHook: request => /^\/(health|metrics)/.test(request.url ?? '') }),
    // Statements are named, values never leave the process.
    new PgInstrumentation({ enhancedDatabaseReporting: false, requireParentSpan: true }),
  ],
})
sdk.start()
// Patched where it is required the next time; whoever imports it shares the patched prototypes.
require('node:http')

// The last spans leave when the service has closed what it had open and the loop is empty.
process.once('beforeExit', () => {
  void sdk.shutdown()
})
