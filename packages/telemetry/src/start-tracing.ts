import { createRequire, register } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import type { MetricReader } from '@opentelemetry/sdk-metrics'
import { NodeSDK } from '@opentelemetry/sdk-node'

/** Sends a span of every traced request and statement to the collector that the environment names. */
export function startTracing(metrics: MetricReader, http: HttpInstrumentation): void {
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
  // The last spans leave when the service has closed what it had open and the loop is empty.
  process.once('beforeExit', () => {
    void sdk.shutdown()
  })
}
