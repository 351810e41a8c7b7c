import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { programEnvironment, testPostgres } from '@sluice/test-env'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'

/** A service of two lines: serves one request, prints its metrics, ends. */
const service = `
  import { createServer } from 'node:http'
  import { metricsText } from '@sluice/telemetry'
  const server = createServer((_request, response) => response.end('ok')).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  await fetch('http://127.0.0.1:' + server.address().port + '/things', {
    headers: { connection: 'close', traceparent: '00-${traceId}-00f067aa0ba902b7-01' },
  })
  process.stdout.write(await metricsText())
  server.close()
`

async function run(env: Record<string, string>, program = service): Promise<string> {
  const child = spawn(
    process.execPath,
    ['--import', '@sluice/telemetry/setup', '--input-type=module', '--eval', program],
    {
      cwd: import.meta.dirname,
      env: { ...programEnvironment, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let text = ''
  child.stdout.on('data', chunk => {
    text += chunk
  })
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
  return text
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

test("a service sends the span of a traced request to the collector, in the caller's trace", async t => {
  const collector = await startCollector(t)
  const metrics = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'things' })
  assert.ok(
    collector.bodies.some(body => body.includes(Buffer.from(traceId, 'hex'))),
    'the trace reached the collector',
  )
  assert.ok(
    collector.bodies.some(body => body.includes('things')),
    'under the name of the service',
  )
  assert.match(metrics, /^http_server_(request_)?duration/m)
})

test('without a collector nothing is exported, metrics are there, and the service ends', async () => {
  assert.match(await run({}), /^http_server_(request_)?duration/m)
})

/** Asks another service while it answers a request, and prints what that one was told. */
const passing = `
  import http from 'node:http'
  import { once } from 'node:events'
  const listen = async handler => {
    const server = http.createServer(handler).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  const next = await listen((request, response) => response.end(request.headers.traceparent))
  const server = await listen((_request, response) => {
    http.get({ port: next.address().port, host: '127.0.0.1', agent: false }, answer => answer.pipe(response))
  })
  const told = await fetch('http://127.0.0.1:' + server.address().port + '/things', {
    headers: { connection: 'close', traceparent: '00-${traceId}-00f067aa0ba902b7-01' },
  })
  process.stdout.write(await told.text())
  server.close()
  next.close()
`

test('a trace goes on through a service, with a collector and without', async t => {
  const collector = await startCollector(t)
  assert.match(await run({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }, passing), new RegExp(`^00-${traceId}-`))
  assert.match(await run({}, passing), new RegExp(`^00-${traceId}-`))
})

/** Asks the database once, while it answers a request. */
const asking = `
  import { createServer } from 'node:http'
  import pg from 'pg'
  const client = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL })
  await client.connect()
  const server = createServer(async (_request, response) => {
    await client.query('select $1::text as hidden', [process.env.TEST_HIDDEN])
    response.end('ok')
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const url = 'http://127.0.0.1:' + server.address().port + '/things'
  await fetch(url, { headers: { connection: 'close', traceparent: '00-${traceId}-00f067aa0ba902b7-01' } })
  await client.end()
  server.close()
`

test('a statement is traced by its text, without its values', async t => {
  const [collector, postgres] = await Promise.all([startCollector(t), testPostgres(t)])
  const env = { TEST_DATABASE_URL: postgres.url, TEST_HIDDEN: 'a secret value' }
  await run({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env }, asking)
  const sent = Buffer.concat(collector.bodies).toString('latin1')
  assert.match(sent, /select \$1::text as hidden/)
  assert.doesNotMatch(sent, /a secret value/)
})
