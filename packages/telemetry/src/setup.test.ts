import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, type TestContext, test } from 'node:test'
import { programEnvironment, testPostgres } from '@sluice/test-env'

let postgres: { url: string }
before(async () => {
  postgres = await testPostgres({ after })
})

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'

/**
 * A service that serves one request, for which it asks the database and another service. It prints what that one was told and its
 * metrics, and ends.
 */
const service = `
  import http from 'node:http'
  import { once } from 'node:events'
  import { metricsText } from '@sluice/telemetry'
  import pg from 'pg'
  const client = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL })
  await client.connect()
  const listen = async handler => {
    const server = http.createServer(handler).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  const next = await listen((request, response) => response.end(request.headers.traceparent))
  const server = await listen(async (_request, response) => {
    await client.query('select $1::text as hidden', [process.env.TEST_HIDDEN])
    http.get({ port: next.address().port, host: '127.0.0.1', agent: false }, answer => answer.pipe(response))
  })
  const told = await fetch('http://127.0.0.1:' + server.address().port + '/things', {
    headers: { connection: 'close', traceparent: '00-${traceId}-00f067aa0ba902b7-01' },
  })
  process.stdout.write(JSON.stringify({ toldNext: await told.text(), metrics: await metricsText() }))
  await client.end()
  server.close()
  next.close()
`

async function run(env: Record<string, string>): Promise<{ toldNext: string; metrics: string }> {
  const child = spawn(
    process.execPath,
    ['--import', '@sluice/telemetry/setup', '--input-type=module', '--eval', service],
    {
      cwd: import.meta.dirname,
      env: { ...programEnvironment, TEST_DATABASE_URL: postgres.url, TEST_HIDDEN: 'a secret value', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let text = ''
  child.stdout.on('data', chunk => {
    text += chunk
  })
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
  return JSON.parse(text)
}

async function startCollector(t: TestContext) {
  const bodies: Buffer[] = []
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    if (request.url === '/v1/traces') bodies.push(Buffer.concat(parts))
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { bodies, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test("a service sends the span of a traced request to the collector, in the caller's trace, and passes that on", async t => {
  const collector = await startCollector(t)
  const { toldNext, metrics } = await run({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: 'things',
  })
  assert.ok(
    collector.bodies.some(body => body.includes(Buffer.from(traceId, 'hex'))),
    'the trace reached the collector',
  )
  assert.ok(
    collector.bodies.some(body => body.includes('things')),
    'under the name of the service',
  )
  assert.match(toldNext, new RegExp(`^00-${traceId}-`))
  assert.match(metrics, /^http_server_(request_)?duration/m)
  const sent = Buffer.concat(collector.bodies).toString('latin1')
  assert.match(sent, /select \$1::text as hidden/, 'a statement is traced by its text')
  assert.doesNotMatch(sent, /a secret value/, 'without its values')
})

test('without a collector nothing is exported, the trace is passed on, metrics are there, and the service ends', async () => {
  const { toldNext, metrics } = await run({})
  assert.match(toldNext, new RegExp(`^00-${traceId}-`))
  assert.match(metrics, /^http_server_(request_)?duration/m)
})
