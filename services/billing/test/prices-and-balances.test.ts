import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { Objm } from '@nats-io/obj'
import { openBucket } from '@sluice/bus'
import { type Key, PriceBookEntry } from '@sluice/contracts'
import { parsePriceBook } from '@sluice/pricing'
import { hashCredential, type RestCredentialViews } from '@sluice/runtime'
import { buildApp } from '../src/app.ts'
import { openPriceBookPublisher } from '../src/price-book-publisher.ts'
import { keepCatalogue, republishMissing } from '../src/price-books.ts'
import { readMessage } from '../src/received-message.ts'
import { billingBus, billingStores, log, ratedEvent } from './billing-env.ts'

test('the catalogue is published once, as object, as entry and as event, and again where the bus has lost it', async t => {
  const stores = await billingStores(t)
  await stores.db.deleteFrom('price_books').execute()
  const { bus } = await billingBus(t)
  const publisher = await openPriceBookPublisher(bus, log)
  const deps = { store: stores.priceBooks, publisher, nowMs: Date.now() }
  const id = await keepCatalogue(deps, { reinstate: true })
  const bucket = await openBucket(bus, 'price-books', PriceBookEntry)
  const entry = await bucket.get(id)
  assert.equal(entry?.kind, 'catalogue')
  const blob = await (await new Objm(bus.connection).open('price-books')).getBlob(id)
  assert.ok(blob)
  // The content is what its name says.
  assert.ok(parsePriceBook(Buffer.from(blob).toString(), id).providers.openai)
  assert.equal(entry?.size_bytes, blob.length)

  assert.equal(await keepCatalogue({ ...deps, nowMs: deps.nowMs + 1000 }, { reinstate: true }), id)
  assert.equal((await bucket.get(id))?.effective_at_ms, deps.nowMs)
  assert.deepEqual(await republishMissing(deps), [])
  await bucket.delete(id)
  assert.deepEqual(await republishMissing(deps), [id])
  assert.deepEqual(await bucket.get(id), entry)
})

test('a catalogue of before comes back into force only when the service starts', async t => {
  const stores = await billingStores(t)
  const { bus } = await billingBus(t)
  const publisher = await openPriceBookPublisher(bus, log)
  const deps = (nowMs: number) => ({ store: stores.priceBooks, publisher, nowMs })
  await stores.db.deleteFrom('price_books').execute()
  const id = await keepCatalogue(deps(1_790_000_000_000), { reinstate: true })
  await stores.priceBooks.insert({
    entry: { price_book_id: 'pb_other', kind: 'catalogue', effective_at_ms: 1_790_000_001_000, size_bytes: 2 },
    body: '{}',
  })
  const current = async () => (await stores.priceBooks.findCurrentCatalogue(1_790_000_009_000))?.entry.price_book_id
  await keepCatalogue(deps(1_790_000_002_000), { reinstate: false })
  assert.equal(await current(), 'pb_other')
  await keepCatalogue(deps(1_790_000_002_000), { reinstate: true })
  assert.equal(await current(), id)
})

const keyOf = (value: string, projectId: string, role: Key['role'], revoked = false): [string, Key] => [
  hashCredential(value),
  {
    key_id: randomUUID(),
    version: 1,
    project_id: projectId,
    account_id: 'acct_1',
    name: 'k',
    role,
    secrets: [
      {
        secret_id: 's1',
        hash: hashCredential(value),
        envelope: { v: 1, kid: 'm', wrapped_key: '', nonce: '', ciphertext: '' },
      },
    ],
    ...(revoked && { revoked_at_ms: 1 }),
  },
]

test('a balance is told to those who may know it, exactly, and to nobody else', async t => {
  const stores = await billingStores(t)
  const project = randomUUID()
  const other = randomUUID()
  const events = [
    ratedEvent({ identity: { project_id: project, account_id: 'acct_1' }, quantities: { in_text: 1, out_text: 3 } }),
    ratedEvent({ identity: { project_id: project, account_id: 'acct_1' }, paid_by: 'own_credential' }),
    ratedEvent({ identity: { project_id: other, account_id: 'acct_2' }, quantities: { in_text: 999_999 } }),
  ].map((event, index) => ({ ...event, gateway_id: 'gw_a', epoch: 1, partition: 0, seq: index + 1 }))
  await stores.usage.post(
    [
      readMessage('usage.recorded.v1.0', Buffer.from(events.map(event => JSON.stringify(event)).join('\n')), () => ({
        gatewayId: 'gw_a',
        epoch: 1,
        partition: 0,
        first: 1,
        last: 3,
      })),
    ],
    { streamSeq: 1, checkRating: () => undefined },
  )
  const keys = new Map([
    keyOf('ma-admin-key', project, 'admin'),
    keyOf('ma-developer-key', project, 'developer'),
    keyOf('ma-revoked-key', project, 'admin', true),
  ])
  const credentials: RestCredentialViews = {
    findKeyByHash: hash => keys.get(hash),
    findSessionByHash: hash =>
      hash === hashCredential('session-of-an-account-admin')
        ? { member_id: 'm1', account_id: 'acct_1', account_admin: true, projects: {}, expires_at_ms: 9e15 }
        : undefined,
    accountOfProject: id => (id === project ? 'acct_1' : id === other ? 'acct_2' : undefined),
  }
  const app = buildApp({
    credentials,
    ...stores.forRequests,
    publisher: { isPublished: async () => true, publish: async () => {}, withdraw: async () => {} },
    onChange: () => {},
    nowMs: Date.now,
    trustedProxies: [],
    log,
  })
  t.after(() => app.close())
  const get = (path: string, bearer?: string) =>
    app.inject({ url: `/accounts/projects/${path}`, ...(bearer && { headers: { authorization: `Bearer ${bearer}` } }) })

  const statuses: [string, string | undefined, number][] = [
    [project, undefined, 401],
    [project, 'ma-unknown-key', 401],
    [project, 'ma-revoked-key', 401],
    [project, 'no-such-session', 401],
    [project, 'ma-developer-key', 403],
    [other, 'ma-admin-key', 404],
    [other, 'session-of-an-account-admin', 404],
    [randomUUID(), 'ma-admin-key', 404],
    [project, 'ma-admin-key', 200],
    [project, 'session-of-an-account-admin', 200],
  ]
  for (const [pid, bearer, status] of statuses)
    for (const route of ['balance', 'transactions', 'subscription'])
      assert.equal((await get(`${pid}/${route}`, bearer)).statusCode, status, `${route} ${bearer}`)

  const charged = events[0]?.cost_nano_usd ?? 0
  const cost = charged + (events[1]?.cost_nano_usd ?? 0)
  const balance = await get(`${project}/balance`, 'ma-admin-key')
  assert.equal(balance.json().balance_nano_usd, String(-charged))
  assert.equal(balance.json().cost_nano_usd, String(cost))
  // 1 × 150 + 3 × 600 nano-USD: a JSON number, digit for digit.
  assert.match(balance.payload, /"balance":-0\.00000195,/)

  const page = (await get(`${project}/transactions?limit=1`, 'ma-admin-key')).json()
  assert.deepEqual(
    page.transactions.map((row: { amount_nano_usd: string; description: string }) => [
      row.amount_nano_usd,
      row.description,
    ]),
    [[String(-charged), 'Usage: 2 calls']],
  )
  const next = await get(`${project}/transactions?before=${page.transactions[0].id}`, 'ma-admin-key')
  assert.deepEqual(next.json(), { transactions: [], continuation_token: null })
  const pages = `${project}/transactions?page_size=1`
  assert.deepEqual((await get(pages, 'ma-admin-key')).json(), page)
  const token = Buffer.from(`transactions ${project}\n${page.transactions[0].id}`).toString('base64url')
  assert.deepEqual((await get(`${pages}&continuation_token=${token}`, 'ma-admin-key')).json(), next.json())
  for (const wrong of [
    `${pages}&continuation_token=${token}&before=1`,
    `${pages}&continuation_token=x`,
    `${pages}&x=1`,
  ])
    assert.equal((await get(wrong, 'ma-admin-key')).statusCode, 400, wrong)
  assert.equal((await get(`${project}/transactions?before=x`, 'ma-admin-key')).statusCode, 400)

  assert.deepEqual((await get(`${project}/subscription`, 'ma-admin-key')).json(), { active: false, subscription: null })
  for (const [bearer, status, code] of [
    ['ma-admin-key', 501, 'not_offered'],
    ['ma-developer-key', 403, 'forbidden'],
  ])
    for (const route of ['subscription', 'credits', 'recharge']) {
      const headers = { authorization: `Bearer ${bearer}` }
      const url = `/accounts/projects/${project}/${route}`
      const answer = await app.inject({ method: 'POST', url, headers, payload: { enabled: true, amount: 1 } })
      assert.deepEqual([answer.statusCode, answer.json().error.code], [status, code], route)
    }

  const pricing = await app.inject({ url: '/pricing' })
  assert.equal(pricing.json().openai['gpt-4o-mini'].input_tokens, '0.00000015')
  assert.match(pricing.json().price_book_id, /^pb_/)
})
