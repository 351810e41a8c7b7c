import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { type Migration, openDatabase, runMigrations } from '@sluice/postgres'
import { eventually, programEnvironment, programFile, testNats, testPostgres } from '@sluice/test-env'
import { sql } from 'kysely'

const run = (program: 'main' | 'migrate', env: Record<string, string>, args: string[] = []) =>
  spawn(process.execPath, [programFile(`services/budget/src/${program}.ts`), ...args], {
    env: { ...programEnvironment, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })

test('the program checks its variables, migrates twice without harm, listens, and ends on a signal', async t => {
  const [{ url }, nats] = await Promise.all([testPostgres(t, { schemas: ['budget'] }), testNats(t)])
  const env = {
    BUDGET_DATABASE_URL: url,
    BUDGET_PORT: '0',
    BUDGET_OPERATOR_PORT: '0',
    NATS_URL: nats.url,
    NATS_USER: 'budget',
    NATS_PASSWORD: nats.users.budget.pass,
  }
  const ends = [run('main', env, ['--check-config']), run('migrate', env), run('migrate', env)].map(child =>
    once(child, 'exit'),
  )
  assert.deepEqual(await Promise.all(ends), [
    [0, null],
    [0, null],
    [0, null],
  ])
  const service = run('main', env)
  const ended = once(service, 'exit')
  t.after(() => void service.kill('SIGKILL'))
  let output = ''
  service.stdout.on('data', chunk => {
    output += chunk
  })
  const { operatorPort } = await eventually(() => {
    const line = output.split('\n').find(text => text.includes('"listening"'))
    return line !== undefined && (JSON.parse(line) as { operatorPort: number })
  })
  const ready = await fetch(`http://127.0.0.1:${operatorPort}/health/ready`)
  assert.deepEqual(await ready.json(), { status: 'ready' })
  service.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
})

test('a migration may take as long as its tables are large, and no other statement', async t => {
  const { url } = await testPostgres(t, { schemas: ['budget'] })
  const { db, close } = openDatabase({ url, schema: 'budget' })
  t.after(close)
  const timeouts: string[] = []
  const note: Migration['up'] = async trx => {
    const { rows } = await sql<{ timeout: string }>`select current_setting('statement_timeout') as timeout`.execute(trx)
    timeouts.push(rows[0]?.timeout ?? '')
  }
  await runMigrations(db, 'budget', [{ name: '001-note-timeout', up: note }])
  await note(db as never)
  assert.deepEqual(timeouts, ['0', '30s'])
})
