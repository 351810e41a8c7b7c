import assert from 'node:assert/strict'
import { chmodSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { serviceNames } from '@sluice/contracts'
import { sized } from '@sluice/test-env/test-size'
import getPort from 'get-port'
import pg from 'pg'
import { startNats } from '../src/start-nats.ts'
import { startPostgres } from '../src/start-postgres.ts'
import { assertNothingLeft, call, makeHome, start, until, untilReady } from './run-start.ts'

test('on a PostgreSQL and a NATS of the operator a call works and is billed there', async t => {
  const servers = makeHome(t)
  chmodSync(servers, 0o711)
  const [postgres, nats] = await Promise.all([
    startPostgres({ dataDir: join(servers, 'pg'), durable: false }),
    startNats({ dataDir: join(servers, 'nats'), durable: false }),
  ])
  const home = makeHome(t)
  const natsEnv = Object.fromEntries(
    ([...serviceNames, 'admin'] as const).flatMap(user => [
      [`NATS_${user.toUpperCase()}_USER`, nats.users[user].user],
      [`NATS_${user.toUpperCase()}_PASSWORD`, nats.users[user].pass],
    ]),
  )
  const started = start(t, {
    ...natsEnv,
    SLUICE_HOME: home,
    SLUICE_PORT: String(await getPort({ host: '127.0.0.1' })),
    OPENAI_API_KEY: '',
    ANTHROPIC_API_KEY: '',
    DATABASE_URL: postgres.url,
    NATS_URL: nats.url,
    // Without the one that has nothing in either but what it reads.
    ...sized({ small: { SLUICE_TEST_SERVICES: 'accounts,billing,budget,gateway' }, full: {} }),
  })
  const client = new pg.Client({ connectionString: postgres.url })
  t.after(async () => {
    started.child.kill('SIGKILL')
    await client.end()
    await nats.stop()
    await postgres.stop()
  })
  await untilReady(started)
  assert.match(started.output(), /PostgreSQL \(DATABASE_URL\) ready/)
  assert.match(started.output(), /NATS \(NATS_URL\) ready/)
  assert.doesNotMatch(
    started.output(),
    /may do there what the administrator may/,
    'each service has its own credential',
  )
  assert.equal(existsSync(join(home, 'postgres')) || existsSync(join(home, 'nats')), false, 'no embedded store')

  assert.equal(await call(home), 200)
  await client.connect()
  const isBilled = async () => {
    const { rows } = await client.query<{ cost: string }>(
      "select coalesce(sum(balance_nano_usd), 0) as cost from billing.ledger_accounts where kind = 'usage_cost'",
    )
    return BigInt(rows[0]?.cost ?? 0) > 0n
  }
  await until(isBilled, () => `not billed: ${started.output()}`, 20_000)

  started.child.kill('SIGINT')
  assert.equal(await started.ended, 0, started.output())
  assertNothingLeft(home)
  assert.ok(postgres.process.isRunning() && nats.process.isRunning(), 'servers of the operator are left alone')
})
