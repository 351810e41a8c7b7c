import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { closeInReverse } from './close-in-reverse.ts'
import { eventually } from './eventually.ts'
import { findSharedPostgres } from './shared-postgres.ts'
import { copyInstallation } from './stack-template.ts'
import { testFolder } from './test-folder.ts'
import { testNats } from './test-nats.ts'
import { testPostgres } from './test-postgres.ts'

test('each test has a database of its own', async t => {
  const first = await testPostgres(t, { schemas: ['budget'] })
  const second = await testPostgres(t)
  assert.notEqual(first.url, second.url)
  const client = new pg.Client({ connectionString: first.url })
  await client.connect()
  t.after(() => client.end())
  const { rows } = await client.query("select nspname from pg_namespace where nspname = 'budget'")
  assert.equal(rows.length, 1)
})

test('each test has a bus of its own with a credential for each service', async t => {
  const first = await testNats(t)
  const second = await testNats(t)
  assert.notEqual(first.port, second.port)
  assert.notEqual(first.users.budget.pass, first.users.billing.pass)
})

test('stacks of a run begin with copies of one installation: every table, the first key, and nothing shared', async t => {
  const server = await findSharedPostgres()
  const [mine, theirs] = await Promise.all([
    copyInstallation(t, server, testFolder(t)),
    copyInstallation(t, server, testFolder(t)),
  ])
  const ask = async (url: string, sql: string) => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      // Rows of accounts are shown to nobody who does not say for whom.
      await client.query("set sluice.system = 'on'")
      return (await client.query<{ found: string }>(sql)).rows[0]?.found
    } finally {
      await client.end()
    }
  }
  for (const [service, url] of Object.entries(mine))
    assert.notEqual(await ask(url, `select count(*) as found from ${service}.migrations`), '0')
  await ask(mine.accounts, `update accounts.projects set name = 'mine'`)
  const name = 'select name as found from accounts.projects'
  assert.equal(await ask(mine.accounts, name), 'mine')
  assert.notEqual(await ask(theirs.accounts, name), 'mine')
  await assert.rejects(ask(mine.budget, name), /permission denied/)
})

test('in a reverse scope what is opened last is closed first, and one failure leaves nothing open', async () => {
  const order: string[] = []
  const steps: (() => void | Promise<void>)[] = []
  const scope = closeInReverse({ after: step => void steps.push(step) })
  scope.after(() => void order.push('server'))
  scope.after(() => {
    order.push('client')
    throw new Error('client was gone')
  })
  await assert.rejects(async () => steps[0]?.(), /client was gone/)
  assert.deepEqual(order, ['client', 'server'])
})

test('eventually returns what its check finds and throws the last reason it did not', async () => {
  let tries = 0
  assert.equal(await eventually(() => (++tries < 3 ? undefined : tries)), 3)
  await assert.rejects(
    eventually(() => assert.equal(1, 2), { timeoutMs: 20 }),
    assert.AssertionError,
  )
  await assert.rejects(
    eventually(() => false, { timeoutMs: 20 }),
    /not met within 20 ms/,
  )
})

test('whoever waits asks more and more seldom, unless told how often', async () => {
  const count = async (options: { intervalMs?: number }): Promise<number> => {
    let asked = 0
    await assert.rejects(eventually(() => ++asked < 0, { timeoutMs: 1_000, ...options }))
    return asked
  }
  const [told, untold] = await Promise.all([count({ intervalMs: 10 }), count({})])
  assert.ok(untold > 2 && untold < told * 0.7, `${untold} against ${told}`)
})
