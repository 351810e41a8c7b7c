import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeInReverse, sampleOf } from '@sluice/test-env'
import { sql } from 'kysely'
import { schemaName } from '../src/db/migrations/index.ts'
import type { Db } from '../src/db/schema.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

type Headers = { authorization: string }
interface Operation {
  path: string
  method: string
  access: string
  body: object | undefined
}

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
    'account admin': bearer(await signInAs(db, stranger.memberId)),
    'admin key': bearer(stranger.apiKey),
  }

  // A name says nothing of whose room it is: the other one's must be none here.
  await call('PUT', `/accounts/projects/${own}/settings`, roles.admin ?? {}, { unknown_rooms: 'deny' })

  const document = (await call('GET', '/accounts/openapi.json', {})).json<{
    paths: Record<
      string,
      Record<string, { 'x-sluice-access': string; requestBody?: { content: Record<string, { schema: object }> } }>
    >
  }>()
  const operations: Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method,
      access: operation['x-sluice-access'],
      body: operation.requestBody?.content['application/json']?.schema,
    })),
  )
  const inProject = operations.filter(({ path }) => path.includes('{pid}'))
  assert.ok(inProject.length >= 40, `${inProject.length} routes`)
  const fill = (path: string, projectId: string) =>
    path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(name === 'pid' ? projectId : (theirs[name] ?? 'none')),
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

  let requests = 0
  const crawl = async (projectId: string, mayAnswer: (operation: Operation) => boolean) => {
    for (const operation of inProject)
      for (const [role, headers] of Object.entries(roles)) {
        requests++
        const url = fill(operation.path, projectId)
        const answer = await call(operation.method, url, headers, operation.body && sampleOf(operation.body, idsOf))
        const where = `${role}: ${operation.method} ${url}: ${answer.statusCode} ${answer.body.slice(0, 200)}`
        assert.ok(answer.statusCode < 500, where)
        assert.ok(!answer.body.includes(canary), where)
        if (!mayAnswer(operation)) assert.ok(answer.statusCode >= 400, where)
      }
  }

  await t.test('in the other project’s paths nobody gets an answer', () => crawl(victim, () => false))

  await t.test('in one’s own project nothing of the other one is found by its id', () =>
    // A path that names nothing of theirs is answered; what is answered holds no canary.
    crawl(
      own,
      ({ path, method }) =>
        !/\{(?!pid|dialect)/.test(path) || (method === 'put' && path.endsWith('/users/{uid}/default-team')),
    ),
  )

  await t.test('of the account’s own routes none reaches over', async () => {
    for (const { path, method, access, body } of operations.filter(({ path }) => !path.includes('{pid}')))
      for (const [role, headers] of Object.entries(roles)) {
        // It ends the session that the crawl needs.
        if (access === 'public' || path === '/accounts/sign-out' || path === '/accounts/session') continue
        requests++
        const answer = await call(method, fill(path, own), headers, body && sampleOf(body, idsOf))
        const where = `${role}: ${method} ${path}: ${answer.statusCode} ${answer.body.slice(0, 200)}`
        assert.ok(answer.statusCode < 500 && !answer.body.includes(canary), where)
        if (access === 'operate') assert.equal(answer.statusCode, 403, where)
        else if (path.includes('{')) assert.ok(answer.statusCode >= 400, where)
      }
  })

  await t.test('nothing of it has changed', async () => {
    t.diagnostic(`${requests} requests`)
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
})
