import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { type Key, PriceBookEntry, type Session } from '@sluice/contracts'
import { compilePriceBook, parsePriceBook, rateRecorded } from '@sluice/pricing'
import { createRestApp, hashCredential, type RestCredentialViews } from '@sluice/runtime'
import { buildApp } from '../src/app.ts'
import { openPriceBookPublisher } from '../src/price-book-publisher.ts'
import { keepCatalogue, republishMissing } from '../src/price-books.ts'
import { catalogueBooks } from '../src/routes/catalogue-books.ts'
import { billingBus, billingStores, bookId, log, ratedEvent } from './billing-env.ts'

const mine: string = randomUUID()
const theirs: string = randomUUID()
const session = (account: string, admin: boolean): Session => ({
  member_id: `member-of-${account}`,
  account_id: account,
  account_admin: admin,
  projects: admin ? {} : { [mine]: 'admin' },
  expires_at_ms: 9e15,
})
const sessions = new Map([
  [hashCredential('account-admin'), session('acct_1', true)],
  [hashCredential('project-admin'), session('acct_1', false)],
  [hashCredential('other-account'), session('acct_2', true)],
])
const adminKey = {
  key_id: randomUUID(),
  version: 1,
  project_id: mine,
  account_id: 'acct_1',
  name: 'k',
  role: 'admin',
  secrets: [{ secret_id: 's', hash: hashCredential('ma-admin-key'), envelope: {} }],
} as unknown as Key
const credentials: RestCredentialViews = {
  findKeyByHash: hash => (hash === hashCredential('ma-admin-key') ? adminKey : undefined),
  findSessionByHash: hash => sessions.get(hash),
  accountOfProject: id => ({ [mine]: 'acct_1', [theirs]: 'acct_2' })[id],
}

const prices = (inText: string) => ({
  source: 'Contract of 2026-11-01',
  providers: { openai: { models: [{ id: 'gpt-5.4', prices: { in_text: inText } }] } },
})

test('price books: who may set them, from when they hold, and that nothing is forgotten', async t => {
  const stores = await billingStores(t)
  const { bus } = await billingBus(t)
  const publisher = await openPriceBookPublisher(bus, log)
  const bucket = await openBucket(bus, 'price-books', PriceBookEntry)
  const store = stores.priceBooks
  let nowMs = Date.parse('2026-11-25T12:00:00Z')
  const app = buildApp({
    credentials,
    ...stores.forRequests,
    publisher,
    onChange: () => {},
    nowMs: () => nowMs,
    trustedProxies: [],
    log,
  })
  const operator = createRestApp(log, [])
  catalogueBooks(operator, { priceBooks: store, publisher, nowMs: () => nowMs })
  t.after(() => Promise.all([app.close(), operator.close()]))
  const own = (method: 'GET' | 'PUT' | 'DELETE', bearer?: string, body?: object, project = mine, query = '') =>
    app.inject({
      method,
      url: `/accounts/projects/${project}/price-book${query}`,
      headers: bearer ? { authorization: `Bearer ${bearer}` } : {},
      ...(body && { payload: body }),
    })
  const catalogue = (body: object, accept = 'application/json') =>
    operator.inject({ method: 'POST', url: '/price-books', headers: { accept }, payload: body })
  const inForce = async () => (await store.findCurrentCatalogue(nowMs))?.entry.price_book_id

  await t.test('only an administrator of the account changes what a project pays, its admins may read it', async () => {
    const statuses: [string | undefined, string, number, number][] = [
      [undefined, mine, 401, 401],
      ['no-such-session', mine, 401, 401],
      ['other-account', mine, 404, 404],
      ['account-admin', theirs, 404, 404],
      ['account-admin', randomUUID(), 404, 404],
      ['project-admin', mine, 200, 403],
      ['ma-admin-key', mine, 200, 403],
      ['account-admin', mine, 200, 200],
    ]
    for (const [bearer, project, read, write] of statuses) {
      assert.equal((await own('GET', bearer, undefined, project)).statusCode, read, `GET ${bearer}`)
      const preview = await own('PUT', bearer, { prices: prices('2') }, project, '?dry_run=true')
      assert.equal(preview.statusCode, write, `PUT ${bearer} ${preview.body}`)
      if (write !== 200)
        assert.equal((await own('DELETE', bearer, undefined, project)).statusCode, write, `DELETE ${bearer}`)
    }
    assert.equal((await own('DELETE', 'account-admin')).json().error.code, 'no_own_prices')
    assert.deepEqual((await own('GET', 'account-admin')).json(), { price_book_id: null, prices: {}, books: [] })
  })

  await t.test('a preview shows what would change and publishes nothing', async () => {
    const preview = (await own('PUT', 'account-admin', { prices: prices('2') }, mine, '?dry_run=true')).json()
    assert.equal(preview.published, false)
    assert.match(preview.text, /^openai gpt-5\.4\n {2}in_text +\$2\.5 → \$2 per million +-20 %\n/)
    assert.equal(await bucket.get(preview.price_book_id), undefined)
    assert.deepEqual(await store.listRecords(mine), [])
  })

  await t.test('what is wrong in a file, or in its instant, is named', async () => {
    const wrong: [object, RegExp][] = [
      [{ prices: { providers: {} } }, /^source: not a text/],
      [{ prices: prices('-2') }, /in_text: not a decimal number: -2/],
      [{ prices: prices('2'), effective_at: 'tomorrow' }, /^effective_at: not a time/],
      [{ prices: prices('2'), effective_at: '2026-11-24T00:00:00Z' }, /^effective_at: has passed/],
      [{ prices: prices('2'), effective_at: '2030-11-24T00:00:00Z' }, /^effective_at: more than two years/],
    ]
    for (const [body, message] of wrong) {
      const answer = await own('PUT', 'account-admin', body)
      assert.equal(answer.statusCode, 400, answer.body)
      assert.match(answer.json().error.message, message)
    }
    assert.equal((await own('PUT', 'account-admin', { prices: prices('2'), note: 'x' })).statusCode, 400)
  })

  let first = ''
  await t.test("a project's own book is published under its project, and in force from its instant", async () => {
    const now = (await own('PUT', 'account-admin', { prices: prices('2') })).json()
    first = now.price_book_id
    const later = (
      await own('PUT', 'account-admin', { prices: prices('1.5'), effective_at: '2026-12-01T00:00:00Z' })
    ).json()
    assert.equal((await bucket.get(first))?.project_id, mine)
    assert.equal((await bucket.get(later.price_book_id))?.effective_at_ms, Date.parse('2026-12-01T00:00:00Z'))
    const read = async () => (await own('GET', 'project-admin')).json()
    assert.equal((await read()).prices.openai['gpt-5.4'].input_tokens, '0.000002')
    assert.deepEqual(
      (await read()).books.map((book: { published_by: string }) => book.published_by),
      ['member:member-of-acct_1', 'member:member-of-acct_1'],
    )
    const again = await own('PUT', 'account-admin', { prices: prices('1.5') })
    assert.equal(again.statusCode, 409)
    assert.match(again.json().error.message, /in force from 2026-12-01T00:00:00\.000Z/)
    nowMs = Date.parse('2026-12-01T00:00:00Z')
    assert.equal((await read()).price_book_id, later.price_book_id)
  })

  await t.test('the same prices of another project are another book: no two projects share one', async () => {
    const other = await own('PUT', 'other-account', { prices: prices('2') }, theirs)
    assert.equal(other.statusCode, 201, other.body)
    assert.notEqual(other.json().price_book_id, first)
    assert.equal((await own('GET', 'other-account', undefined, theirs)).json().books.length, 1)
  })

  await t.test('prices that end are followed by the catalogue, and prices of before may come back', async () => {
    nowMs += 1000
    await own('PUT', 'account-admin', { prices: prices('9'), effective_at: '2027-01-01T00:00:00Z' })
    assert.equal((await own('DELETE', 'account-admin')).statusCode, 204)
    assert.equal((await own('GET', 'account-admin')).json().price_book_id, null)
    const current = await store.findCurrentOverride(mine, Date.parse('2027-02-01T00:00:00Z'))
    assert.ok(current && compilePriceBook(parsePriceBook(current.body)).isEmpty, 'what was to come is taken back')
    nowMs += 1000
    assert.equal((await own('PUT', 'account-admin', { prices: prices('2') })).json().price_book_id, first)
    assert.equal((await bucket.get(first))?.effective_at_ms, nowMs)
  })

  await t.test('a catalogue is published only by the id that its preview has named', async () => {
    const text = await catalogue({ prices: prices('2.25') }, 'text/plain')
    assert.match(text.body, /in_text .*\$2\.25 per million/)
    const id = /"publish": "(pb_[0-9a-f]{32})"/.exec(text.body)?.[1]
    const before = await inForce()
    const wrong = await catalogue({ prices: prices('2.30'), publish: id })
    assert.deepEqual([wrong.statusCode, wrong.json().error.code], [409, 'not_previewed'])
    assert.equal(await inForce(), before)
    nowMs += 1000
    assert.equal((await catalogue({ prices: prices('2.25'), publish: id })).statusCode, 201)
    assert.equal(await inForce(), id)
    // What the file does not name is as the catalogue has it.
    const stored = await store.find(id ?? '')
    const book = compilePriceBook(parsePriceBook(stored?.body ?? '', id))
    assert.equal(book.find('openai', 'gpt-5.4')?.entry.rates.in_text?.base, 2_250_000_000)
    assert.ok(book.find('anthropic', 'claude-opus-5'))
    const list = (await operator.inject({ url: '/price-books' })).json().price_books
    assert.deepEqual(
      list.filter((book: { in_force: boolean }) => book.in_force).map((book: { origin: string }) => book.origin),
      ['operator'],
    )
  })

  await t.test(
    "while an operator's book is in force the catalogue does not come back by itself, until it is asked to",
    async () => {
      const operators = await inForce()
      for (const reinstate of [false, true])
        assert.equal(await keepCatalogue({ store, publisher, nowMs: nowMs + 5000 }, { reinstate }), operators)
      const preview = (await catalogue({})).json()
      assert.match(preview.text, /in_text/)
      nowMs += 1000
      assert.equal((await catalogue({ publish: preview.price_book_id })).statusCode, 201)
      assert.equal(await inForce(), preview.price_book_id)
      assert.equal(await keepCatalogue({ store, publisher, nowMs }, { reinstate: false }), preview.price_book_id)
    },
  )

  await t.test('every book that was ever in force still rates what it rated', async () => {
    const event = ratedEvent({ quantities: { in_text: 1000, out_text: 10 } })
    const stored = await store.find(bookId)
    const book = compilePriceBook(parsePriceBook(stored?.body ?? '', bookId))
    assert.equal(rateRecorded({ book }, event).cost_nano_usd, event.cost_nano_usd)
    const override = compilePriceBook(parsePriceBook((await store.find(first))?.body ?? '', first))
    const own = ratedEvent({ requested_model: 'gpt-5.4', served_model: 'gpt-5.4', quantities: { in_text: 1000 } })
    assert.equal(rateRecorded({ book, override }, own).cost_nano_usd, 2_000_000)
    await bucket.delete(first)
    assert.deepEqual(await republishMissing({ store, publisher }), [first])
  })
})

test('a change that the catalogue has a date for is published ahead, and comes into force by itself', async t => {
  const stores = await billingStores(t)
  const { bus } = await billingBus(t)
  const publisher = await openPriceBookPublisher(bus, log)
  const store = stores.priceBooks
  await stores.db.deleteFrom('price_books').execute()
  // From 2026-07-30 on gpt-5.6-luna costs a fifth.
  const nowMs = Date.parse('2026-07-29T12:00:00Z')
  const id = await keepCatalogue({ store, publisher, nowMs }, { reinstate: true })
  const priceAt = async (at: string) => {
    const stored = await store.findCurrentCatalogue(Date.parse(at))
    const book = compilePriceBook(parsePriceBook(stored?.body ?? ''))
    return book.find('openai', 'gpt-5.6-luna')?.entry.rates.in_text?.base
  }
  assert.equal((await store.findCurrentCatalogue(nowMs))?.entry.price_book_id, id)
  assert.equal(await priceAt('2026-07-29T23:59:59.999Z'), 1_000_000_000)
  assert.equal(await priceAt('2026-07-30T00:00:00Z'), 200_000_000)
  const bucket = await openBucket(bus, 'price-books', PriceBookEntry)
  const next = (await store.listRecords()).find(record => record.effective_at_ms === Date.parse('2026-07-30T00:00:00Z'))
  assert.ok(next && (await bucket.get(next.price_book_id)))

  // Reaching the instant, the import finds it in force already.
  const after = Date.parse('2026-07-30T00:00:01Z')
  assert.equal(await keepCatalogue({ store, publisher, nowMs: after }, { reinstate: false }), next.price_book_id)

  // An operator's own book takes back what would have replaced it.
  const upcoming = await store.withdrawUpcoming({ origin: 'catalogue' }, after)
  await publisher.withdraw(upcoming)
  assert.ok(upcoming.length > 0)
  for (const priceBookId of upcoming) assert.equal(await bucket.get(priceBookId), undefined)
})
