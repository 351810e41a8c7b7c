import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { BalanceExhausted, BalanceRestored } from '@sluice/contracts'
import { hashCredential, type RestCredentialViews } from '@sluice/runtime'
import { atFileEnd } from '@sluice/test-env'
import { sql } from 'kysely'
import { buildApp } from '../src/app.ts'
import { tellBalancesAgain } from '../src/prepaid-store.ts'
import { readMessage } from '../src/received-message.ts'
import { type BillingStores, billingStores, log, ratedEvent } from './billing-env.ts'

const accountId = 'acct_1'
const unknownProject = randomUUID()
const credentials: RestCredentialViews = {
  findKeyByHash: () => undefined,
  findSessionByHash: hash => {
    const who = ['operator', 'account-admin', 'operator-elsewhere', 'admin-elsewhere'].find(
      name => hashCredential(`st_${name}`) === hash,
    )
    if (who === undefined) return undefined
    const operator = who.startsWith('operator')
    const account_id = who.endsWith('elsewhere') ? 'acct_2' : accountId
    return { member_id: who, account_id, account_admin: true, operator, projects: {}, expires_at_ms: 9e15 }
  },
  accountOfProject: id => (id === unknownProject ? undefined : accountId),
}

function routesOn(stores: BillingStores) {
  const app = buildApp({
    credentials,
    ...stores.forRequests,
    publisher: { isPublished: async () => true, publish: async () => {}, withdraw: async () => {} },
    onChange: () => {},
    nowMs: Date.now,
    trustedProxies: [],
    log,
  })
  return async (who: string, method: 'GET' | 'POST' | 'PATCH', path: string, payload?: object, headers = {}) => {
    const answer = await app.inject({
      method,
      url: `/accounts/projects/${path}`,
      headers: { authorization: `Bearer st_${who}`, ...headers },
      ...(payload && { payload }),
    })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
}

const stores = await billingStores({ after: clean => atFileEnd(async () => clean()) })
const call = routesOn(stores)
let seq = 0

/** A project, what it spends, and what is to be told of it. */
function newProject() {
  const projectId = randomUUID()
  const post = (...costs: number[]) => {
    const events = costs.map(cost_nano_usd => ({
      ...ratedEvent({ identity: { project_id: projectId, account_id: accountId }, cost_nano_usd }),
      gateway_id: 'gw_prepaid',
      epoch: 1,
      partition: 0,
      seq: ++seq,
    }))
    const range = { gatewayId: 'gw_prepaid', epoch: 1, partition: 0, first: seq - costs.length + 1, last: seq }
    const content = Buffer.from(events.map(event => JSON.stringify(event)).join('\n'))
    const message = readMessage('usage.recorded.v1.0', content, () => range)
    return stores.usage.post([message], { streamSeq: seq, checkRating: () => undefined })
  }
  /** In the order in which they are sent: type, which of the versions it is, and balance. */
  const told = async () => {
    const { rows } = await sql<{ target: string; payload: string }>`select target, payload from outbox
      where key like ${`${projectId}%`} and target like 'balance.%' order by id`.execute(stores.db)
    const events = rows.map(({ target, payload }) => {
      const event = [BalanceExhausted, BalanceRestored].find(({ type }) => type === target)
      const { version = 0, balance_nano_usd } = event?.decode(payload) ?? {}
      return { type: target.split('.')[1], version, balance_nano_usd }
    })
    const versions = [...new Set(events.map(({ version }) => version))].sort((one, other) => one - other)
    return events.map(({ type, version, balance_nano_usd }) => [type, versions.indexOf(version) + 1, balance_nano_usd])
  }
  const credit = (amount: string, headers = {}) =>
    call('operator', 'POST', `${projectId}/credits`, { amount, reason: 'Paid in advance' }, headers)
  const setPrepaid = (prepaid: boolean) => call('operator', 'PATCH', `${projectId}/balance`, { prepaid })
  const balance = async () => (await call('operator', 'GET', `${projectId}/balance`)).body
  return { projectId, post, told, credit, setPrepaid, balance }
}

test('a prepaid project that has spent its credit is told of once, and once more when it is credited', async () => {
  const { post, told, credit, setPrepaid, balance } = newProject()
  assert.equal((await credit('0.000001')).status, 201)
  assert.deepEqual(await told(), [], 'nobody waits for the money of a project that is not prepaid')
  assert.equal((await setPrepaid(true)).status, 204)
  assert.deepEqual(await told(), [['restored', 1, 1_000]])
  assert.equal((await post(400)).balances, 0)
  assert.equal((await post(600)).balances, 1, 'nothing left is enough')
  assert.equal((await post(50, 50)).balances, 0)
  assert.deepEqual((await balance()).exhausted, true)
  await credit('0.0000001')
  assert.equal((await told()).length, 2, 'what was spent beyond it is not made good yet')
  await credit('0.000000001')
  assert.deepEqual(await told(), [
    ['restored', 1, 1_000],
    ['exhausted', 2, 0],
    ['restored', 3, 1],
  ])
  assert.deepEqual([(await balance()).balance_nano_usd, (await balance()).exhausted], ['1', false])
  await credit('-0.000000001')
  await setPrepaid(false)
  assert.deepEqual((await told()).slice(3), [
    ['exhausted', 4, 0],
    ['restored', 5, 0],
  ])
  // After a restart all states are told again, under the versions that they have.
  await tellBalancesAgain(stores.db)
  assert.deepEqual((await told()).at(-1), ['restored', 5, 0])
})

test('a project without credit is exhausted as soon as it is prepaid; one that is not is never told of', async () => {
  const { post, told, setPrepaid } = newProject()
  await post(1_000)
  await setPrepaid(false)
  assert.deepEqual(await told(), [])
  await setPrepaid(true)
  await setPrepaid(true)
  assert.deepEqual(await told(), [['exhausted', 1, -1_000]])
})

test('what is told of a project is the newest, also where the database has come back from an older copy', async () => {
  const { projectId, told, credit, setPrepaid } = newProject()
  await setPrepaid(true)
  await credit('1')
  await credit('-1')
  await sql`update prepaid_projects set version = 1 where project_id = ${projectId}`.execute(stores.db)
  await credit('1')
  await sql`update prepaid_projects set version = 1 where project_id = ${projectId}`.execute(stores.db)
  await setPrepaid(false)
  assert.deepEqual(
    (await told()).map(([type, version]) => `${version} ${type}`),
    ['1 exhausted', '2 restored', '3 exhausted', '4 restored', '5 restored'],
  )
})

test('a credit is double entry, posted once under its key, listed with who posted it, by operators alone', async () => {
  const { projectId, credit, told, setPrepaid } = newProject()
  await setPrepaid(true)
  const key = { 'idempotency-key': randomUUID() }
  const answers = await Promise.all([1, 2, 3, 4].map(() => credit('12.5', key)))
  assert.deepEqual([...new Set(answers.map(({ status, body }) => `${status} ${body.id}`))].length, 1)
  assert.equal((await credit('12.6', key)).body.error.code, 'idempotency_key_reused')
  assert.deepEqual(await told(), [
    ['exhausted', 1, 0],
    ['restored', 2, 12_500_000_000],
  ])
  const { rows } = await sql<{ kind: string; owner: string; amount: string; balance: string }>`
    select kind, owner, amount_nano_usd as amount, balance_nano_usd as balance from ledger_entries join ledger_accounts
    using (ledger_account) where transaction_id = ${answers[0]?.body.id} order by kind`.execute(stores.db)
  assert.deepEqual(
    rows.map(({ kind, owner, amount }) => [kind, owner, amount]),
    [
      ['credits', '', '12500000000'],
      ['project_balance', projectId, '-12500000000'],
    ],
  )
  const listed = (await call('account-admin', 'GET', `${projectId}/credits`)).body
  assert.deepEqual(
    listed.credits.map((one: Record<string, unknown>) => [one.amount_nano_usd, one.reason, one.posted_by]),
    [['12500000000', 'Paid in advance', 'member operator']],
  )
  const [transaction] = (await call('operator', 'GET', `${projectId}/transactions`)).body.transactions
  assert.deepEqual([transaction.amount, transaction.referenceType, transaction.description], [12.5, 'credit', 'Credit'])
  const wanted = { amount: '5', reason: 'For me' }
  for (const [method, path, body, status] of [
    ['POST', 'credits', wanted, 403],
    ['PATCH', 'balance', { prepaid: false }, 403],
    ['POST', 'credits', { success_url: 'https://example.com', quantity: 5 }, 501],
  ] as const)
    assert.equal((await call('account-admin', method, `${projectId}/${path}`, body)).status, status, path)
  for (const amount of ['0', '1e3', '0.0000000001', '', '1,5']) assert.equal((await credit(amount)).status, 400, amount)
})

test('an operator credits projects of other accounts than their own, and sees what is left there; nobody else from elsewhere does', async () => {
  const { projectId, told } = newProject()
  const [operator, stranger] = ['operator-elsewhere', 'admin-elsewhere']
  assert.equal((await call(operator, 'PATCH', `${projectId}/balance`, { prepaid: true })).status, 204)
  const posted = await call(operator, 'POST', `${projectId}/credits`, { amount: '3', reason: 'Paid in advance' })
  assert.deepEqual([posted.status, posted.body.posted_by], [201, 'member operator-elsewhere'])
  assert.deepEqual(
    (await told()).map(([type]) => type),
    ['exhausted', 'restored'],
  )
  assert.equal((await call(operator, 'GET', `${projectId}/balance`)).body.balance, 3)
  assert.equal((await call(operator, 'GET', `${projectId}/credits`)).body.credits.length, 1)
  assert.equal((await call(operator, 'GET', `${projectId}/transactions`)).body.transactions.length, 1)
  assert.equal((await call('account-admin', 'GET', `${projectId}/credits`)).body.credits.length, 1)
  const { rows } = await sql<{ account: string }>`select payload::jsonb ->> 'account_id' as account from outbox
    where target = 'audit.recorded.v1' and payload::jsonb ->> 'project_id' = ${projectId}`.execute(stores.db)
  assert.deepEqual(
    rows.map(({ account }) => account),
    [accountId, accountId],
  )
  for (const [who, project] of [
    [stranger, projectId],
    [operator, unknownProject],
  ]) {
    assert.equal((await call(who ?? '', 'GET', `${project}/balance`)).status, 404, who)
    assert.equal((await call(who ?? '', 'POST', `${project}/credits`, { amount: '3', reason: 'x' })).status, 404, who)
    assert.equal((await call(who ?? '', 'PATCH', `${project}/balance`, { prepaid: true })).status, 404, who)
  }
})
