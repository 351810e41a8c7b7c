import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Kysely } from '@sluice/postgres'
import { priceBookId, serialisePriceBook } from '@sluice/pricing'
import { hashCredential, type RestCredentialViews, withinScope } from '@sluice/runtime'
import { closeInReverse, crawlRoutes, forgetTenants, type Operation, operationsOf } from '@sluice/test-env'
import { sql } from 'kysely'
import { buildApp } from '../src/app.ts'
import { postCredit } from '../src/credit-store.ts'
import { isolateTenants } from '../src/db/isolate-tenants.ts'
import type { Tables } from '../src/db/schema.ts'
import { ledgerStore } from '../src/ledger-store.ts'
import { setPrepaid } from '../src/prepaid-store.ts'
import { priceBookStore } from '../src/price-book-store.ts'
import { readMessage } from '../src/received-message.ts'
import { balanceRoutes, billingStores, log, ratedEvent } from './billing-env.ts'

const canary = 'canary-of-the-other-project'
const [own, victim] = [randomUUID(), randomUUID()]
const accountOf: Record<string, string> = { [own]: 'acct_own', [victim]: 'acct_victim' }
const people = ['developer', 'admin', 'account admin'] as const
const sessionOf = (projectId: string, who: string) => `st_${who.replaceAll(' ', '-')}_${projectId}`

const sessions = new Map(
  [own, victim].flatMap(projectId =>
    people.map(who => [
      hashCredential(sessionOf(projectId, who)),
      {
        member_id: `mem_${who}`,
        account_id: accountOf[projectId] ?? '',
        account_admin: who === 'account admin',
        projects: who === 'account admin' ? {} : { [projectId]: who },
        expires_at_ms: 9e15,
      },
    ]),
  ),
)
const credentials: RestCredentialViews = {
  findKeyByHash: () => undefined,
  findSessionByHash: hash => sessions.get(hash),
  accountOfProject: id => accountOf[id],
}

function routesOn(db: Kysely<Tables>, owner: Kysely<Tables>) {
  return buildApp({
    credentials,
    ledger: ledgerStore(db),
    priceBooks: priceBookStore(db),
    ...balanceRoutes(owner, db),
    publisher: { isPublished: async () => true, publish: async () => {}, withdraw: async () => {} },
    onChange: () => {},
    nowMs: Date.now,
    trustedProxies: [],
    log,
  })
}

test('a crawl over every route of billing as everybody of another project, also where no query names a project', async t => {
  const scope = closeInReverse(t)
  const { db, tenants, usage } = await billingStores(scope)
  const app = routesOn(tenants, db)
  const forgetful = forgetTenants()
  const forgetfulApp = routesOn(tenants.withPlugin(forgetful.plugin), db)
  scope.after(() => app.close())
  scope.after(() => forgetfulApp.close())
  const events = [victim, own].map((projectId, index) => ({
    ...ratedEvent({ identity: { project_id: projectId, account_id: accountOf[projectId] ?? '' } }),
    gateway_id: 'gw_a',
    epoch: 1,
    partition: 0,
    seq: index + 1,
  }))
  const content = Buffer.from(events.map(event => JSON.stringify(event)).join('\n'))
  const range = { gatewayId: 'gw_a', epoch: 1, partition: 0, first: 1, last: 2 }
  await usage.post([readMessage('usage.recorded.v1.0', content, () => range)], {
    streamSeq: 1,
    checkRating: () => undefined,
  })
  // What the other project alone has: prices, and more on its account than ours.
  const theirBook = { format: 1, project_id: victim, providers: {} } as const
  await priceBookStore(db).insert(
    {
      entry: {
        price_book_id: priceBookId(theirBook),
        kind: 'override',
        project_id: victim,
        effective_at_ms: 1,
        size_bytes: 1,
      },
      body: serialisePriceBook(theirBook),
    },
    { origin: 'project', publishedBy: canary },
  )
  const by = {
    kind: 'member',
    id: canary,
    accountId: 'acct_victim',
    address: '127.0.0.1',
    userAgent: undefined,
  } as const
  const byHand = { by, idempotencyKey: undefined, requestHash: '' }
  const theirs = { projectId: victim, accountId: 'acct_victim' }
  await postCredit(db, { ...theirs, ...byHand, amount: 5n, reason: canary })
  await setPrepaid(db, theirs, true, by)
  await sql`update ledger_transactions set cost_nano_usd = 987654321000, charge_nano_usd = 987654321000
    where project_id = ${victim}`.execute(db)
  await sql`update ledger_accounts set balance_nano_usd = 987654321000 where owner = ${victim}`.execute(db)
  /** What stands in each answer of theirs that tells of usage. */
  const theirAmount = '987.65'

  const operations = operationsOf((await app.inject({ url: '/api/openapi/billing.json' })).json())
  const inProject = operations.filter(({ path }) => path.includes('{pid}'))
  assert.ok(inProject.length >= 6, `${inProject.length} routes`)
  const call = async (routes: typeof app, method: string, path: string, who: string, payload: unknown) => {
    const answer = await routes.inject({
      method: method as 'GET',
      url: path,
      headers: { authorization: `Bearer ${who}` },
      ...(payload === undefined ? {} : { payload: payload as object }),
    })
    return { status: answer.statusCode, body: answer.body.replaceAll(theirAmount, canary) }
  }
  for (const route of ['balance', 'transactions', 'credits', 'price-book']) {
    const path = `/accounts/projects/${victim}/${route}`
    const answer = await call(app, 'GET', path, sessionOf(victim, 'account admin'), undefined)
    assert.ok(answer.status === 200 && answer.body.includes(canary), `${route}: ${answer.body}`)
  }
  const crawl = async (routes: typeof app, projectId: string, mayAnswer: (operation: Operation) => boolean) => {
    const { requests, leaks } = await crawlRoutes({
      operations: inProject,
      credentials: Object.fromEntries(people.map(who => [who, sessionOf(own, who)])),
      call: (...args) => call(routes, ...args),
      places: { pid: projectId },
      canary,
      mayAnswer,
    })
    t.diagnostic(`${requests} requests`)
    return leaks
  }
  const crawlAll = async (routes: typeof app) => [
    ...(await crawl(routes, victim, () => false)),
    ...(await crawl(routes, own, () => true)),
  ]
  const { rows } = await sql<{ name: string }>`select tablename as name from pg_tables
    where schemaname = 'billing'`.execute(db)
  const tables = rows.map(({ name }) => name)
  const everything = async () => {
    const found: Record<string, string[]> = {}
    for (const table of tables) {
      const { rows: all } = await sql<{ row: string }>`select ${sql.table(table)}::text as row from ${sql.table(table)}
        order by 1`.execute(db)
      found[table] = all.map(({ row }) => row).filter(row => row.includes(canary) || row.includes(victim))
    }
    return found
  }
  const before = await everything()

  await t.test('reads and changes nothing of it', async () => {
    assert.deepEqual(await crawlAll(app), [])
    assert.deepEqual(await everything(), before)
  })

  await t.test('the same with row-level security alone', async () => {
    assert.deepEqual(await crawlAll(forgetfulApp), [])
    assert.ok(forgetful.forgotten >= 5, `${forgetful.forgotten} conditions`)
    assert.deepEqual(await everything(), before)
  })

  await t.test(
    'requests see what is their project’s and everybody’s, write nothing else, and of the rest see nothing',
    async () => {
      const mine = { accountId: accountOf[own] ?? '', projectId: own }
      const seen = (table: string) =>
        withinScope(mine, () =>
          sql<{ row: string }>`select ${sql.table(table)}::text as row from ${sql.table(table)}`.execute(tenants),
        ).then(
          ({ rows: found }) => found.map(({ row }) => row),
          (error: { code?: string }) => error.code,
        )
      for (const table of ['ledger_accounts', 'ledger_transactions']) {
        const found = await seen(table)
        assert.ok(
          Array.isArray(found) && found.length > 0 && found.every(row => row.includes(own)),
          `${table}: ${found}`,
        )
      }
      const books = await seen('price_books')
      assert.ok(Array.isArray(books) && books.length > 0 && books.every(row => !row.includes(victim)), String(books))
      for (const table of [
        'usage_batches',
        'usage_hours',
        'adjustments',
        'dead_letters',
        'ledger_entries',
        'heard_epochs',
      ])
        assert.equal(await seen(table), '42501', table)
      const publish = (kind: string, projectId: string | null) =>
        withinScope(mine, () =>
          sql`insert into price_books (price_book_id, kind, project_id, effective_at, body)
          values (${`pb_${kind}_${projectId}`}, ${kind}, ${projectId}, now(), '')`.execute(tenants),
        )
      for (const [kind, projectId] of [
        ['override', victim],
        ['catalogue', null],
      ] as const)
        await assert.rejects(publish(kind, projectId), { code: '42501' })
    },
  )

  await t.test('and without it the crawl reads what is another’s', async () => {
    for (const name of tables) await sql`alter table ${sql.table(name)} disable row level security`.execute(db)
    const leaks = await crawlAll(forgetfulApp)
    assert.ok(leaks.filter(leak => leak.startsWith('read: ')).length >= 3, leaks.join('\n'))
  })

  await t.test('a table that does not say whom its rows belong to stops the step', async () => {
    await sql`create table forgotten (project_id uuid)`.execute(db)
    await assert.rejects(isolateTenants(db), /table forgotten/)
  })
})
