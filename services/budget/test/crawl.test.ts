import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Cutoff, Key, Role } from '@sluice/contracts'
import { type Kysely, openTenants } from '@sluice/postgres'
import { createLogger, createSecretBox, hashCredential, type RestCredentialViews, withinScope } from '@sluice/runtime'
import { closeInReverse, crawlRoutes, forgetTenants, type Operation, operationsOf } from '@sluice/test-env'
import { sql } from 'kysely'
import { manageAlerts } from '../src/alerts/alert-management.ts'
import { buildApp } from '../src/app.ts'
import { manageBudgets } from '../src/budget-management-store.ts'
import { isolateTenants } from '../src/db/isolate-tenants.ts'
import { databaseSchema } from '../src/db/migrations/index.ts'
import type { BudgetTables } from '../src/db/schema.ts'
import { createDecisionBell } from '../src/decision-bell.ts'
import { manageMoreRequests } from '../src/more-request-store.ts'
import { manageQuotas } from '../src/quota-store.ts'
import { manageStops } from '../src/stop-store.ts'
import { openBudgetDatabase } from './budget-service.ts'

const canary = 'canary-of-the-other-project'
const [own, victim] = [randomUUID(), randomUUID()]
const accountOf: Record<string, string> = { [own]: 'acct_own', [victim]: 'acct_victim' }
const roles = ['member', 'developer', 'admin'] as const
const bearerOf = (projectId: string, role: Role) => `ma-${projectId}-${role}`

/** Keys of each role in both projects. */
const keys = new Map(
  [own, victim].flatMap(projectId =>
    roles.map((role): [string, Key] => {
      const hash = hashCredential(bearerOf(projectId, role))
      const envelope = { v: 1, kid: 'x', wrapped_key: 'x', nonce: 'x', ciphertext: 'x' } as const
      return [
        hash,
        {
          key_id: randomUUID(),
          version: 1,
          project_id: projectId,
          account_id: accountOf[projectId] ?? '',
          name: role,
          role,
          secrets: [{ secret_id: 'sec_1', hash, envelope }],
        },
      ]
    }),
  ),
)
/** Administrators of both accounts. */
const sessionOf = (projectId: string) => `st_admin_${projectId}`
const sessions = new Map(
  [own, victim].map(projectId => [
    hashCredential(sessionOf(projectId)),
    {
      member_id: 'mem_admin',
      account_id: accountOf[projectId] ?? '',
      account_admin: true,
      projects: {},
      expires_at_ms: 9e15,
    },
  ]),
)
const views: RestCredentialViews = {
  findKeyByHash: hash => keys.get(hash),
  findSessionByHash: hash => sessions.get(hash),
  accountOfProject: id => accountOf[id],
}

const secretBox = createSecretBox(randomBytes(32).toString('base64'))

function routesOn(db: Kysely<BudgetTables>) {
  return buildApp(
    {
      budgets: manageBudgets(db, () => undefined),
      views,
      prove: async () => undefined,
      newBudgetId: () => `bud_${randomUUID()}`,
      newRaiseId: () => `rai_${randomUUID()}`,
      newStopId: () => `stp_${randomUUID()}`,
      newRequestId: () => `req_${randomUUID()}`,
      stops: manageStops(db, () => undefined),
      moreRequests: manageMoreRequests(db, { onRaised: () => undefined, onDecided: () => undefined }),
      decisions: createDecisionBell(),
      quotas: manageQuotas(db, () => undefined),
      newDestinationId: () => `ald_${randomUUID()}`,
      alerts: manageAlerts(db),
      secretBox,
      sendsMail: true,
      allowPrivateUpstreams: false,
      publicOrigin: undefined,
      now: Date.now,
      trustedProxies: [],
    },
    createLogger('budget', 'silent'),
  )
}

/** A row of each kind that hangs on a budget. */
async function fill(db: Kysely<BudgetTables>, budgetId: string, projectId: string): Promise<void> {
  const now = Date.now()
  await sql`insert into budget_raises values
    (${`rai_${projectId}`}, ${budgetId}, 5, ${now + 3_600_000}, ${canary}, 'key', 'x', ${now})`.execute(db)
  await sql`insert into budget_windows (budget_id, copy, window_start_ms, window_end_ms, spent, updated_at_ms)
    values (${budgetId}, ${canary}, ${now - 3_600_000}, ${now + 3_600_000}, 7, ${now})`.execute(db)
  const cutoff: Cutoff = {
    cutoff_id: `cut_${projectId}`,
    version: 1,
    active: true,
    reason: 'budget_spent',
    budget_id: budgetId,
    name: canary,
    copy: canary,
    unit: 'usd',
    limit: 5,
    spent: 7,
    window: 'day',
    window_start_ms: now - 3_600_000,
    until_ms: now + 3_600_000,
    at_ms: now,
  }
  await sql`insert into cutoffs values (${cutoff.cutoff_id}, ${budgetId}, ${canary}, 1, true, ${now + 3_600_000}, ${now},
    true, ${JSON.stringify(cutoff)})`.execute(db)
  // Under the id of the budget, so that whoever asks for that asks for it.
  await sql`insert into stops values (${budgetId}, ${accountOf[projectId]}, ${projectId}, '{}', ${canary}, 'key', 'x', null, ${now})`.execute(
    db,
  )
  await sql`insert into more_requests (request_id, account_id, project_id, budget_id, budget_project_id, copy, requester_kind,
    requester_id, amount, reason, created_at_ms, state) values (${budgetId}, ${accountOf[projectId]}, ${projectId}, ${budgetId},
    ${projectId}, ${canary}, 'key', 'x', 5, ${canary}, ${now}, 'open')`.execute(db)
  // Destinations, alerts and deliveries under the same id.
  await sql`insert into alert_destinations values (${budgetId}, ${accountOf[projectId]}, ${projectId}, null, 'email', ${canary}, null,
    ${[`${canary}@example.com`]}, '[]', true, ${now})`.execute(db)
  await sql`insert into alerts values (${budgetId}, ${accountOf[projectId]}, ${projectId}, ${budgetId}, 'threshold',
    ${JSON.stringify({ budget_name: canary })}, ${now})`.execute(db)
  await sql`insert into alert_deliveries values (${budgetId}, ${budgetId}, ${budgetId}, 'given_up', 11, ${now}, null, null, null,
    ${canary}, ${now}, ${now})`.execute(db)
  await sql`insert into fired_thresholds values (${budgetId}, ${canary}, ${now - 3_600_000}, 80, ${budgetId}, ${now})`.execute(
    db,
  )
  await sql`insert into leases values (0, ${`lease_${projectId}`}, 1, ${budgetId}, ${canary}, ${now - 3_600_000}, 'gw_1', 1, 9, 1, 0,
    ${JSON.stringify({ [`${canary}-attempt`]: { amount: 3, since_ms: now } })}, 1, 'open', '{}', ${now}, ${now})`.execute(
    db,
  )
  await sql`insert into spend_facts (event_id, project_id, account_id, room, admitted_at_ms, seat, version, nano_usd, tokens, requests)
    values (${randomUUID()}, ${projectId}, ${accountOf[projectId]}, ${canary}, ${now}, false, 0, 11, 1, 1)`.execute(db)
}

test('a crawl over every route of budgets as every role of another project, also where no query names a project', async t => {
  const scope = closeInReverse(t)
  const { url, db } = await openBudgetDatabase(scope, 3)
  const tenants = openTenants<BudgetTables>({ url, schema: databaseSchema, maxConnections: 3 })
  scope.after(() => tenants.close())
  const app = routesOn(tenants.db)
  const forgetful = forgetTenants()
  const forgetfulApp = routesOn(tenants.db.withPlugin(forgetful.plugin))
  scope.after(() => app.close())
  scope.after(() => forgetfulApp.close())

  const make = async (projectId: string, name: string, place = `/accounts/projects/${projectId}/budgets`) => {
    const answer = await app.inject({
      method: 'POST',
      url: place,
      headers: { authorization: `Bearer ${sessionOf(projectId)}` },
      payload: { name, unit: 'usd', window: 'day', limit: '5', mode: 'hard', per: 'room' },
    })
    assert.equal(answer.statusCode, 201, answer.body)
    return answer.json<{ id: string }>().id
  }
  const theirs = await make(victim, canary)
  await fill(db, theirs, victim)
  const spanning = await make(victim, canary, '/accounts/budgets')
  const ofProject = `/accounts/projects/${victim}/budgets`
  const stops = `/accounts/projects/${victim}/stops`
  for (const path of [
    ofProject,
    stops,
    `${ofProject}/${theirs}`,
    `${ofProject}/${theirs}/leases`,
    `${ofProject}/requests`,
    `${ofProject}/alerts`,
    `${ofProject}/alerts/${theirs}`,
    `${ofProject}/alert-destinations`,
    `${ofProject}/alert-destinations/${theirs}`,
    '/accounts/budgets',
  ]) {
    const headers = { authorization: `Bearer ${sessionOf(victim)}` }
    const answer = await app.inject({ url: path, headers })
    assert.ok(answer.statusCode === 200 && answer.body.includes(canary), answer.body)
  }
  await make(own, 'own')
  await make(own, 'own', '/accounts/budgets')

  const operations = operationsOf((await app.inject({ url: '/api/openapi/budget.json' })).json())
  const inProject = operations.filter(({ path }) => path.includes('{pid}'))
  const ofAccount = operations.filter(({ path }) => path.startsWith('/accounts/budgets'))
  const asking = operations.filter(({ path }) => path.startsWith('/ask'))
  assert.ok(inProject.length >= 9 && ofAccount.length >= 9 && asking.length === 2, `${operations.length} routes`)
  const places = {
    id: theirs,
    budget_id: theirs,
    request: theirs,
    lease: `lease_${victim}`,
    attempt: `${canary}-attempt`,
    alert: theirs,
    delivery: theirs,
  }
  const crawl = async (
    routes: typeof app,
    of: readonly Operation[],
    where: { pid?: string; id?: string },
    mayAnswer: (operation: Operation) => boolean,
  ) => {
    const { requests, leaks } = await crawlRoutes({
      operations: of,
      credentials: {
        ...Object.fromEntries(roles.map(role => [role, bearerOf(own, role)])),
        'account admin': sessionOf(own),
      },
      strongest: ['account admin', 'admin'],
      call: async (method, path, bearer, payload) => {
        const headers = { authorization: `Bearer ${bearer}` }
        const answer = await routes.inject({
          method: method as 'GET',
          url: path,
          headers,
          ...(payload === undefined ? {} : { payload: payload as object }),
        })
        return { status: answer.statusCode, body: answer.body }
      },
      places: { ...places, ...where },
      canary,
      mayAnswer,
    })
    t.diagnostic(`${requests} requests`)
    return leaks
  }
  const isOfNoBudget = ({ path }: Operation) => !/\{(?!pid|subject)/.test(path)
  const crawlAll = async (routes: typeof app) => [
    ...(await crawl(routes, inProject, { pid: victim }, () => false)),
    ...(await crawl(routes, inProject, { pid: own }, isOfNoBudget)),
    ...(await crawl(routes, asking, {}, ({ method }) => method.toLowerCase() === 'get')),
    ...(await crawl(routes, ofAccount, {}, isOfNoBudget)),
    ...(await crawl(routes, ofAccount, { id: spanning }, isOfNoBudget)),
    ...(await crawl(routes, inProject, { pid: own, id: spanning }, isOfNoBudget)),
  ]
  const { rows } = await sql<{ name: string }>`select tablename as name from pg_tables
    where schemaname = ${databaseSchema}`.execute(db)
  const tables = rows.map(({ name }) => name)
  /** Every row that has to do with the other project, as text. */
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
  assert.ok(Object.values(before).filter(found => found.length > 0).length >= 7, JSON.stringify(before))

  await t.test('reads and changes nothing of it', async () => {
    assert.deepEqual(await crawlAll(app), [])
    assert.deepEqual(await everything(), before)
  })

  await t.test('the same with row-level security alone', async () => {
    assert.deepEqual(await crawlAll(forgetfulApp), [])
    assert.ok(forgetful.forgotten >= 10, `${forgetful.forgotten} conditions`)
    assert.deepEqual(await everything(), before)
  })

  await t.test(
    'requests see of each table what is their project’s, and of those that are none of their business nothing',
    async () => {
      const seen = (table: string, projectId: string) =>
        withinScope({ accountId: accountOf[projectId] ?? '', projectId }, () =>
          sql`select from ${sql.table(table)}`.execute(tenants.db),
        ).then(
          ({ rows: found }) => found.length,
          (error: { code?: string }) => error.code,
        )
      for (const table of [
        'budgets',
        'budgets_in_force',
        'budget_raises',
        'budget_windows',
        'cutoffs',
        'leases',
        'spend_facts',
        'stops',
        'alert_destinations',
        'alerts',
        'alert_deliveries',
        'fired_thresholds',
      ]) {
        assert.ok(Number(await seen(table, victim)) > 0, table)
        const ofOwn = await sql<{ count: number }>`select count(*)::int as count from ${sql.table(table)} as row
        where row::text like ${'%own%'}`.execute(db)
        assert.equal(await seen(table, own), ofOwn.rows[0]?.count, table)
      }
      for (const table of ['dead_letters', 'settlements', 'outbox', 'series_marks', 'migrations'])
        assert.equal(await seen(table, own), '42501', table)
      const nobody = await sql`select from budgets`.execute(tenants.db)
      assert.equal(nobody.rows.length, 0)
    },
  )

  await t.test('and without it the crawl reads and changes what is another’s', async () => {
    for (const name of tables) await sql`alter table ${sql.table(name)} disable row level security`.execute(db)
    const leaks = await crawlAll(forgetfulApp)
    assert.ok(leaks.filter(leak => leak.startsWith('read: ')).length >= 3, leaks.join('\n'))
    assert.notDeepEqual(await everything(), before)
  })

  await t.test('a table that does not say whom its rows belong to stops the step', async () => {
    await sql`create table forgotten (project_id uuid)`.execute(db)
    await assert.rejects(isolateTenants(db), /table forgotten/)
  })
})
