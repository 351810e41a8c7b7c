import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  eventually,
  makeUsageEvent,
  programEnvironment,
  programFile,
  publishUsage,
  testFolder,
  testNats,
  testPostgres,
} from '@sluice/test-env'

const run = (program: 'main' | 'migrate', env: Record<string, string>, args: string[] = []) =>
  spawn(process.execPath, [programFile(`services/analytics/src/${program}.ts`), ...args], {
    env: { ...programEnvironment, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })

async function start(env: Record<string, string>) {
  const service = run('main', env)
  let output = ''
  service.stdout.on('data', chunk => {
    output += chunk
  })
  const operatorPort = await eventually(() => {
    const line = output.split('\n').find(text => text.includes('"listening"'))
    return line !== undefined && (JSON.parse(line) as { operatorPort: number }).operatorPort
  })
  return { service, ended: once(service, 'exit'), operator: `http://127.0.0.1:${operatorPort}` }
}

test('the program checks its variables, migrates twice, listens, keeps its rows over a kill, and ends on a signal', async t => {
  const [{ url }, nats] = await Promise.all([testPostgres(t, { schemas: ['analytics'] }), testNats(t)])
  const env = {
    ANALYTICS_DATABASE_URL: url,
    ANALYTICS_CHDB_DIR: join(testFolder(t), 'chdb'),
    ANALYTICS_PORT: '0',
    ANALYTICS_OPERATOR_PORT: '0',
    ANALYTICS_INSERT_WINDOW_MS: '0',
    NATS_URL: nats.url,
    NATS_USER: 'analytics',
    NATS_PASSWORD: nats.users.analytics.pass,
  }
  const ends = [run('main', env, ['--check-config']), run('migrate', env), run('migrate', env)].map(child =>
    once(child, 'exit'),
  )
  for (const end of await Promise.all(ends)) assert.deepEqual(end, [0, null])

  const first = await start(env)
  t.after(() => void first.service.kill('SIGKILL'))
  const range = { gatewayId: 'gw_1', epoch: 1, partition: 0, first: 1, last: 2 }
  const event = makeUsageEvent({ identity: { project_id: randomUUID() } })
  await publishUsage({ connection: nats.admin }, range, [event, makeUsageEvent()])
  const completeness = async (operator: string) =>
    (await (await fetch(`${operator}/completeness`)).json()) as { series: { last: number }[] }
  await eventually(async () => (await completeness(first.operator)).series.some(one => one.last === 2))
  first.service.kill('SIGKILL')
  await first.ended

  const second = await start(env)
  t.after(() => void second.service.kill('SIGKILL'))
  await eventually(async () => (await fetch(`${second.operator}/health/ready`)).ok)
  assert.deepEqual(
    (await completeness(second.operator)).series.map(one => one.last),
    [2],
  )
  assert.match(await (await fetch(`${second.operator}/metrics`)).text(), /sluice_analytics_rows_total 0/)
  second.service.kill('SIGTERM')
  assert.deepEqual(await second.ended, [0, null])
})
