import { createRequire, register } from 'node:module'
import { pathToFileURL } from 'node:url'
import { context, propagation } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { addMetricsSource } from './metrics.ts'
import { passTracesOnBy } from './passed-on-trace.ts'

/**
 * Sends a span of every traced request and statement to the collector that the environment names, and puts OpenTelemetry's
 * metrics beside our own.
 */
export function startTracing(): void {
  const metrics = new PrometheusExporter({ preventServerStart: true })
  const serializer = new PrometheusSerializer('', false, undefined, true, true)
  addMetricsSource(async () => serializer.serialize((await metrics.collect()).resourceMetrics))
  const http = new HttpInstrumentation({
    ignoreIncomingRequestHook: request => /^\/(health|metrics)/.test(request.url ?? ''),
  })
  // ES modules are patched while they are loaded, by a hook that the instrumentation brings; only what is named here:
  // wrapped, a module that re-exports one name twice would lose it.
  const require = createRequire(createRequire(import.meta.url).resolve('@opentelemetry/instrumentation-pg'))
  register(pathToFileURL(require.resolve('@opentelemetry/instrumentation/hook.mjs')).href, {
    data: { include: ['http', 'https', 'pg', 'pg-pool'] },
  })
  const sdk = new NodeSDK({
    metricReaders: [metrics],
    logRecordProcessors: [],
    // Statements are named, values never leave the process.
    instrumentations: [http, new PgInstrumentation({ enhancedDatabaseReporting: false, requireParentSpan: true })],
  })
  sdk.start()
  passTracesOnBy(set => propagation.inject(context.active(), undefined, { set: (_, name, value) => set(name, value) }))
  // Patched where it is required the next time; whoever imports it shares the patched prototypes.
  createRequire(import.meta.url)('node:http')
  // The last spans leave when the service has closed what it had open and the loop is empty.
  process.once('beforeExit', () => {
    void sdk.shutdown()
  })
}
