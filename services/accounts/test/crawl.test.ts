import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundles } from '@sluice/contracts'
import { closeInReverse, crawlRoutes, forgetTenants, type Operation, operationsOf, sized } from '@sluice/test-env'
import { sql } from 'kysely'
import { buildApp } from '../src/app.ts'
import { createChanges } from '../src/change-store.ts'
import { schemaName } from '../src/db/migrations/index.ts'
import type { Db } from '../src/db/schema.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

type Headers = { authorization: string }

/** Names that stand in one project alone: whoever reads one has read that project. */
const canary = 'canary-of-the-other-project'

/** Every table of the service, as text: what a crawl must not change of it. */
async function everything(db: Db, tables: readonly string[]): Promise<Record<string, string>> {
  const rows = await Promise.all(
    tables.map(async table => {
      const all = await db
        .selectFrom(table as 'teams')
        .selectAll()
        .execute()
      return [
        table,
        all
          .map(row => JSON.stringify(row))
          .filter(text => text.includes(canary))
          .sort()
          .join('\n'),
      ] as const
    }),
  )
  return Object.fromEntries(rows)
}

test('a crawl over every route as every role of one project reads and changes nothing of another', async t => {
  const { app, db, deps, installation } = await startAccounts(closeInReverse(t))
  const asOwner = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }
  const victim = installation.project_id
  const call = (method: string, url: string, headers: object, payload?: unknown) =>
    app.inject({
      method: method.toUpperCase() as 'GET',
      url,
      headers: { ...headers },
      ...(payload === undefined ? {} : { payload: payload as object }),
    })
  const make = async (path: string, payload: object) => {
    const answer = await call('POST', `/accounts/projects/${victim}${path}`, asOwner, payload)
    assert.equal(answer.statusCode, 200, `${path}: ${answer.body}`)
    return answer.json<Record<string, string>>()
  }

  // The other project: something of every kind, each with the canary.
  const team = await make('/teams', { name: canary, cost_centre: canary })
  const user = await make('/users', { email: `${canary}@example.com`, first_name: canary, roles: ['member'] })
  await call('PUT', `/accounts/projects/${victim}/teams/${team.id}/members/${user.user_id}`, asOwner, {})
  const service = await make('/service-accounts', { name: canary })
  const key = await make('/api-keys', { name: canary })
  const integration = await make('/integrations', { name: canary, provider: 'openai', api_key: 'sk-0123456789abcdef' })
  await call('PUT', `/accounts/projects/${victim}/settings/otel`, asOwner, {
    endpoint: `https://${canary}.example.com`,
  })
  await make('/rooms', { name: canary, access: 'members' })
  await call('PUT', `/accounts/projects/${victim}/rooms/${canary}/members/${user.user_id}`, asOwner, {})
  await call('PUT', `/accounts/projects/${victim}/settings`, asOwner, { theme: canary })
  await call('PUT', '/accounts/managed-integrations/openai', asOwner, { base_url: `https://${canary}.example.com/v1` })
  const theirs: Record<string, string | undefined> = {
    tid: team.id,
    uid: user.user_id,
    mid: user.user_id,
    sid: service.id,
    id: key.id,
    iid: integration.id,
    room: canary,
    dialect: 'openai',
  }

  // The crawler: every role of a project in another account.
  const stranger = await addAccount(deps)
  const { accountId, projectId: own } = stranger
  const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })
  const roles: Record<string, Headers> = {
    member: bearer((await addMember(db, accountId, own, 'member')).token),
    developer: bearer((await addMember(db, accountId, own, 'developer')).token),
    admin: bearer((await addMember(db, accountId, own, 'admin')).token),
    'member with every bundle': bearer((await addMember(db, accountId, own, 'member', bundles)).token),
    'account admin': bearer(await signInAs(db, stranger.memberId)),
    'admin key': bearer(stranger.apiKey),
  }

  const operations = operationsOf((await call('GET', '/accounts/openapi.json', {})).json())
  const inProject = operations.filter(({ path }) => path.includes('{pid}'))
  assert.ok(inProject.length >= 40, `${inProject.length} routes`)
  // One's own project may be deleted: by a route that forgets which one is meant, too. The rest needs it.
  const [deletions = [], lasting = []] = [true, false].map(deletes =>
    inProject.filter(({ method, path }) => (method === 'DELETE' && path === '/accounts/projects/{pid}') === deletes),
  )
  assert.equal(deletions.length, 1)
  // Two of them end the session that the crawl needs.
  const ofAccount = operations.filter(
    ({ path, access }) =>
      !path.includes('{pid}') && access !== 'public' && !['/accounts/sign-out', '/accounts/session'].includes(path),
  )
  const idsOf = {
    team_id: team.id,
    member_id: user.user_id,
    user_id: user.user_id,
    owner_id: user.user_id,
    service_account_id: service.id,
  }

  const { rows } = await sql<{ name: string }>`select tablename as name from pg_tables
    where schemaname = ${schemaName}`.execute(db)
  const tables = rows.map(({ name }) => name)
  assert.ok(tables.length >= 12, tables.join())
  const before = await everything(db, tables)
  assert.ok(
    Object.values(before).filter(text => text !== '').length >= 6,
    'the other project has something of most kinds',
  )

  /** What somebody of the other account gets to see of it, or answered where there must be no answer. */
  const crawl = async (
    routes: typeof app,
    roles: Record<string, Headers>,
    projectId: string,
    of: readonly Operation[],
    mayAnswer: (operation: Operation) => boolean,
  ) => {
    const { requests, leaks } = await crawlRoutes({
      operations: of,
      credentials: roles,
      ...(of !== deletions && { strongest: ['account admin', 'admin key'] }),
      call: async (method, url, headers, payload) => {
        const answer = await routes.inject({
          method: method as 'GET',
          url,
          headers: { ...headers },
          ...(payload === undefined ? {} : { payload: payload as object }),
        })
        return { status: answer.statusCode, body: answer.body }
      },
      places: { ...theirs, pid: projectId },
      members: idsOf,
      canary,
      mayAnswer,
    })
    t.diagnostic(`${requests} requests`)
    return leaks
  }
  /** Everywhere: in the other project's paths, with its ids in one's own, and in the account's. */
  const crawlAll = async (routes: typeof app, as: Record<string, Headers>) => [
    ...(await crawl(routes, as, victim, lasting, () => false)),
    ...(await crawlOwn(routes, as)),
    ...(await crawl(routes, as, own, ofAccount, ({ path, access }) => access !== 'operate' && !path.includes('{'))),
  ]
  const crawlOwn = async (routes: typeof app, as: Record<string, Headers>) => {
    // A name says nothing of whose room it is: the other one's must be none here.
    await call('PUT', `/accounts/projects/${own}/settings`, roles.admin ?? {}, { unknown_rooms: 'deny' })
    return crawl(
      routes,
      as,
      own,
      lasting,
      // A path that names nothing of theirs is answered; what is answered holds no canary.
      ({ path, method }) =>
        !/\{(?!pid|dialect)/.test(path) || (method === 'PUT' && path.endsWith('/users/{uid}/default-team')),
    )
  }

  await t.test('nobody gets an answer in its paths, or by its ids', async () => {
    assert.deepEqual(await crawlAll(app, roles), [])
    assert.deepEqual(await crawl(app, roles, victim, deletions, () => false), [])
  })

  await t.test('nothing of it has changed', async () => {
    assert.deepEqual(await everything(db, tables), before)
    for (const [path, id] of [
      ['teams', team.id],
      ['api-keys', key.id],
      ['service-accounts', service.id],
      ['integrations', integration.id],
      ['users', user.user_id],
      ['rooms', canary],
    ])
      assert.equal((await call('GET', `/accounts/projects/${victim}/${path}/${id}`, asOwner)).statusCode, 200, path)
  })

  // The same by routes whose queries have forgotten every condition on a project or account.
  const forgetful = forgetTenants()
  const forgetfulDb = deps.db.withPlugin(forgetful.plugin)
  const routes = buildApp({ ...deps, db: forgetfulDb, changes: createChanges({ db: forgetfulDb, now: deps.now }) })
  t.after(() => routes.close())

  await t.test('the same by routes that name no tenant in any query: row-level security alone holds', async () => {
    const leaks = await crawlAll(routes, roles)
    assert.ok(forgetful.forgotten >= sized({ small: 200, full: 300 }), `${forgetful.forgotten} conditions`)
    assert.deepEqual(leaks, [])
    assert.deepEqual(await everything(db, tables), before)
  })

  await t.test('and without row-level security the same crawl reads and changes what is another’s', async () => {
    for (const name of tables) await sql`alter table ${sql.table(name)} disable row level security`.execute(db)
    const leaks = await crawlAll(routes, { admin: roles.admin ?? { authorization: '' } })
    assert.ok(leaks.filter(leak => leak.startsWith('read: ')).length >= 5, leaks.join('\n'))
    assert.notDeepEqual(await everything(db, tables), before)
  })
})
