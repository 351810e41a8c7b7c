import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { eventually, programEnvironment, programFile, publishUsage, testNats, testPostgres } from '@sluice/test-env'
import { ratedEvent } from './billing-env.ts'

const run = (program: 'main' | 'migrate', env: Record<string, string>) =>
  spawn(process.execPath, [programFile(`services/billing/src/${program}.ts`)], {
    env: { ...programEnvironment, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })

test('the program migrates, posts usage, answers, and ends on a signal', async t => {
  const [{ url }, nats] = await Promise.all([testPostgres(t, { schemas: ['billing'] }), testNats(t)])
  const { user, pass } = nats.users.billing
  const env = {
    BILLING_DATABASE_URL: url,
    BILLING_PORT: '0',
    BILLING_OPERATOR_PORT: String(await freePort()),
    NATS_URL: nats.url,
    NATS_USER: user,
    NATS_PASSWORD: pass,
    SLUICE_LOG_LEVEL: 'warn',
  }
  assert.deepEqual(await once(run('migrate', env), 'exit'), [0, null])

  const sent = await publishUsage(
    { connection: nats.admin },
    { gatewayId: 'gw_a', epoch: 1, partition: 2, first: 2, last: 2 },
    [ratedEvent()],
  )
  assert.equal(sent.length, 1)
  const service = run('main', env)
  const ended = once(service, 'exit')
  t.after(() => service.kill('SIGKILL'))
  const operator = `http://127.0.0.1:${env.BILLING_OPERATOR_PORT}`
  await eventually(async () => (await fetch(`${operator}/health/ready`)).status === 200)
  const complete = await eventually(async () => {
    const body = (await (await fetch(`${operator}/completeness`)).json()) as { gaps: unknown[] }
    return body.gaps.length === 1 && body
  })
  assert.deepEqual(complete.gaps, [{ gateway_id: 'gw_a', epoch: 1, partition: 2, gaps: [[1, 1]] }])
  assert.match(await (await fetch(`${operator}/metrics`)).text(), /^sluice_billing_events_total 1$/m)
  service.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' && address ? address.port : 0
}
