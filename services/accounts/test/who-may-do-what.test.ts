import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Role, rolePermissions } from '@sluice/contracts'
import { closeInReverse, sized } from '@sluice/test-env'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

type Who = 'nobody' | 'garbage' | Role | 'admin key' | 'developer key' | 'account admin' | 'stranger' | 'stranger key'
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
interface Row {
  method: Method
  path: string
  body?: Record<string, unknown>
  /** Who gets through, to whatever the route then answers. */
  allowed: readonly Who[]
  /** What the others inside the project get; those outside get 404, and those without a credential 401. */
  denied?: 403 | 404
}

const everyone: readonly Who[] = [
  'nobody',
  'garbage',
  'member',
  'developer',
  'admin',
  'developer key',
  'admin key',
  'account admin',
  'stranger',
  'stranger key',
]
const signedIn = everyone.filter(who => who !== 'nobody' && who !== 'garbage')
const inProject: readonly Who[] = ['member', 'developer', 'admin', 'developer key', 'admin key', 'account admin']
const developers: readonly Who[] = ['developer', 'admin', 'developer key', 'admin key', 'account admin']
const admins: readonly Who[] = ['admin', 'admin key', 'account admin']
const accountAdmins: readonly Who[] = ['account admin', 'stranger']
/** Who made the installation administers the account, and runs it. */
const operators: readonly Who[] = ['account admin']
/** Weakest first: between two of these runs the border of a route. */
const levels: readonly (readonly Who[])[] = [
  ['member'],
  ['developer', 'developer key'],
  ['admin', 'admin key'],
  ['account admin'],
]
const absent = '00000000-0000-7000-8000-000000000000'

const rows: Row[] = [
  { method: 'POST', path: '/accounts/sign-in', body: { email: 'x@example.com' }, allowed: everyone },
  { method: 'POST', path: '/accounts/session', body: { email: 'x@example.com' }, allowed: everyone },
  { method: 'GET', path: '/accounts/session', allowed: signedIn },
  { method: 'POST', path: '/accounts/password', body: { token: 'x' }, allowed: everyone },
  { method: 'PUT', path: '/accounts/profiles/me/password', body: { current_password: 'x' }, allowed: signedIn },
  {
    method: 'POST',
    path: '/accounts/members/mem_none/password-link',
    allowed: ['account admin', 'stranger'],
    denied: 403,
  },
  { method: 'POST', path: '/api/participant-token/validate', body: { token: 'x' }, allowed: everyone },
  { method: 'GET', path: '/config', allowed: everyone },
  { method: 'GET', path: '/accounts/openapi.json', allowed: everyone },
  { method: 'GET', path: '/accounts/whoami', allowed: signedIn },
  { method: 'GET', path: '/accounts/profiles/me', allowed: signedIn },
  { method: 'PUT', path: '/accounts/profiles/me', body: { name: '' }, allowed: signedIn },
  { method: 'GET', path: '/accounts/members', allowed: accountAdmins, denied: 403 },
  { method: 'PUT', path: '/accounts/members/mem_none', body: { admin: 1 }, allowed: accountAdmins, denied: 403 },
  ...(['GET', 'PUT', 'DELETE'] as const).map(method => ({
    method,
    path: '/accounts/managed-integrations/openai',
    ...(method === 'PUT' && { body: { none: 1 } }),
    allowed: operators,
  })),
  { method: 'GET', path: '/accounts/managed-integrations', allowed: operators },
  { method: 'POST', path: '/accounts/managed-integrations/openai/test', allowed: operators },
  { method: 'GET', path: '/accounts/projects', allowed: signedIn },
  {
    method: 'POST',
    path: '/accounts/projects',
    body: { name: '' },
    allowed: accountAdmins,
    denied: 403,
  },
  { method: 'GET', path: '/accounts/projects/:pid', allowed: inProject },
  { method: 'DELETE', path: `/accounts/projects/${absent}`, allowed: accountAdmins, denied: 403 },
  { method: 'GET', path: '/accounts/projects/:pid/status', allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/role', allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/teams', allowed: inProject },
  { method: 'POST', path: '/accounts/projects/:pid/teams', body: { name: '' }, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/audit', allowed: admins },
  { method: 'GET', path: '/accounts/audit', allowed: accountAdmins, denied: 403 },
  { method: 'GET', path: '/accounts/audit/export', allowed: accountAdmins, denied: 403 },
  { method: 'GET', path: '/accounts/audit/verify', allowed: accountAdmins, denied: 403 },
  { method: 'GET', path: '/accounts/projects/:pid/service-accounts', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/service-accounts', body: { x: 1 }, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/service-accounts/none', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/service-accounts/none', body: { x: 1 }, allowed: admins },
  { method: 'DELETE', path: '/accounts/projects/:pid/service-accounts/none', allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/teams/team_none', allowed: inProject },
  { method: 'PUT', path: '/accounts/projects/:pid/teams/team_none', body: { name: '' }, allowed: admins },
  { method: 'DELETE', path: '/accounts/projects/:pid/teams/team_none', allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/teams/team_none/cost-centres', allowed: inProject },
  { method: 'POST', path: '/accounts/projects/:pid/teams/team_none/cost-centres', body: { x: 1 }, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/teams/team_none/members', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/teams/team_none/members/mem_none', body: { x: 1 }, allowed: admins },
  { method: 'DELETE', path: '/accounts/projects/:pid/teams/team_none/members/mem_none', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/users/me/default-team', body: { x: 1 }, allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/users', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/users', body: { name: '' }, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/users/mem_none', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/users/mem_none', body: { name: '' }, allowed: admins },
  { method: 'DELETE', path: '/accounts/projects/:pid/users/mem_none', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/access:test', body: { name: '' }, allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/api-keys', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/api-keys', body: { name: '' }, allowed: admins },
  { method: 'GET', path: `/accounts/projects/:pid/api-keys/${absent}`, allowed: admins },
  { method: 'PATCH', path: `/accounts/projects/:pid/api-keys/${absent}`, body: { x: 1 }, allowed: admins },
  { method: 'POST', path: `/accounts/projects/:pid/api-keys/${absent}/rotate`, body: { x: 1 }, allowed: admins },
  { method: 'DELETE', path: `/accounts/projects/:pid/api-keys/${absent}`, allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/api-keys:revoke', body: { x: 1 }, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/service-accounts/none/api-keys', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/service-accounts/none/api-keys', body: { x: 1 }, allowed: admins },
  { method: 'DELETE', path: `/accounts/projects/:pid/service-accounts/none/api-keys/${absent}`, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/rooms', allowed: inProject },
  { method: 'POST', path: '/accounts/projects/:pid/rooms', body: { x: 1 }, allowed: developers },
  { method: 'GET', path: '/accounts/projects/:pid/rooms/none', allowed: inProject },
  { method: 'PUT', path: '/accounts/projects/:pid/rooms/none', body: { x: 1 }, allowed: developers },
  { method: 'DELETE', path: '/accounts/projects/:pid/rooms/none', allowed: developers },
  { method: 'POST', path: '/accounts/projects/:pid/rooms/none/connect', body: { x: 1 }, allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/rooms/none/members', allowed: developers },
  { method: 'PUT', path: '/accounts/projects/:pid/rooms/none/members/mem_none', allowed: developers },
  { method: 'DELETE', path: '/accounts/projects/:pid/rooms/none/members/mem_none', allowed: developers },
  { method: 'GET', path: '/accounts/projects/:pid/room-grants', allowed: developers },
  { method: 'POST', path: '/accounts/projects/:pid/room-grants', body: { x: 1 }, allowed: developers },
  { method: 'PUT', path: '/accounts/projects/:pid/room-grants/unused', body: { x: 1 }, allowed: developers },
  { method: 'GET', path: '/accounts/projects/:pid/room-grants/by-room', allowed: developers },
  { method: 'GET', path: '/accounts/projects/:pid/room-grants/by-user', allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/room-grants/by-room/none', allowed: developers },
  { method: 'GET', path: '/accounts/projects/:pid/room-grants/by-user/me', allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/room-grants/none/me', allowed: inProject },
  { method: 'DELETE', path: '/accounts/projects/:pid/room-grants/none/mem_none', allowed: developers },
  { method: 'POST', path: '/accounts/projects/:pid/participant-tokens', body: { x: 1 }, allowed: inProject },
  { method: 'GET', path: '/accounts/projects/:pid/settings', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/settings', body: { unpriced: 'x' }, allowed: admins },
  ...(['openai', 'anthropic'] as const).flatMap((dialect): Row[] => [
    { method: 'GET', path: `/accounts/projects/:pid/settings/${dialect}`, allowed: admins },
    { method: 'PUT', path: `/accounts/projects/:pid/settings/${dialect}`, body: { base_url: 'x' }, allowed: admins },
    { method: 'DELETE', path: `/accounts/projects/:pid/settings/${dialect}`, allowed: admins },
  ]),
  { method: 'GET', path: '/accounts/projects/:pid/integrations', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/integrations', body: { name: '' }, allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/integrations/int_none', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/integrations/int_none', body: { name: '' }, allowed: admins },
  { method: 'DELETE', path: '/accounts/projects/:pid/integrations/int_none', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/integrations/int_none/test', allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/settings/otel', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/settings/otel', body: { endpoint: 'x' }, allowed: admins },
  { method: 'DELETE', path: '/accounts/projects/:pid/settings/otel', allowed: admins },
  { method: 'POST', path: '/accounts/projects/:pid/settings/otel/test', allowed: admins },
  { method: 'GET', path: '/accounts/projects/:pid/settings/router', allowed: admins },
  { method: 'PUT', path: '/accounts/projects/:pid/settings/router', body: { x: 1 }, allowed: admins },
  // Last: they end the sessions that the rows above need.
  { method: 'DELETE', path: '/accounts/session', allowed: signedIn },
  { method: 'POST', path: '/accounts/sign-out', allowed: signedIn },
]

/** Everybody who is refused; of those who get through, one of the least who do, and one of everybody, in turn. */
function bordering({ allowed }: Row, turn: number): readonly Who[] {
  const least = levels.find(level => level.some(who => allowed.includes(who))) ?? []
  const chosen = [least[turn % least.length], everyone[turn % everyone.length]]
  return everyone.filter(who => !allowed.includes(who) || chosen.includes(who))
}

test('each role gets through to its routes, and to no other', async t => {
  const scope = closeInReverse(t)
  const { app, db, deps, installation } = await startAccounts(scope)
  const { project_id: pid, account_id: accountId } = installation
  const stranger = await addAccount(deps)
  const adminToken = await signInAs(db, installation.member_id)
  const asAdmin = { authorization: `Bearer ${adminToken}` }
  const newKey = async (role: Role) => {
    const url = `/accounts/projects/${pid}/api-keys`
    const answer = await app.inject({ method: 'POST', url, headers: asAdmin, payload: { name: role, role } })
    return answer.json<{ value: string }>().value
  }
  const [member, developer, admin] = [
    await addMember(db, accountId, pid, 'member'),
    await addMember(db, accountId, pid, 'developer'),
    await addMember(db, accountId, pid, 'admin'),
  ]
  const people = new Map<Who, string>([
    ['member', member.memberId],
    ['developer', developer.memberId],
    ['admin', admin.memberId],
    ['account admin', installation.member_id],
    ['stranger', stranger.memberId],
  ])
  const tokens: Record<Who, string | undefined> = {
    nobody: undefined,
    garbage: 'ma-not-a-key',
    member: member.token,
    developer: developer.token,
    admin: admin.token,
    'developer key': await newKey('developer'),
    'admin key': await newKey('admin'),
    'account admin': adminToken,
    stranger: await signInAs(db, stranger.memberId),
    'stranger key': stranger.apiKey,
  }
  const callRoute = (row: Row, who: Who) => {
    const token = tokens[who]
    return app.inject({
      method: row.method,
      url: row.path.replace(':pid', pid),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...(row.body && { payload: row.body }),
    })
  }

  for (const [turn, row] of rows.entries())
    await t.test(`${row.method} ${row.path}: ${row.allowed.join(', ')}`, async () => {
      for (const who of sized({ small: bordering(row, turn), full: everyone })) {
        const answer = await callRoute(row, who)
        const memberId = people.get(who)
        if (memberId !== undefined && row.method === 'DELETE') tokens[who] = await signInAs(db, memberId)
        const { statusCode, body } = answer
        const got = `${who}: ${statusCode} ${body}`
        if (row.allowed.includes(who)) {
          const refusedByGuard = statusCode === 403 || (statusCode === 401 && row.path !== '/accounts/sign-in')
          const hidden = statusCode === 404 && body.includes('no such project')
          assert.ok(!refusedByGuard && !hidden && statusCode < 500, got)
        } else if (who === 'nobody' || who === 'garbage') assert.equal(statusCode, 401, got)
        else if (row.path.includes(':pid') && !inProject.includes(who)) assert.equal(statusCode, 404, got)
        else assert.equal(statusCode, 403, got)
      }
    })

  await t.test('the table names every route, and says of each what the route itself says', async () => {
    const { paths } = (await app.inject({ url: '/accounts/openapi.json' })).json<{
      paths: Record<string, Record<string, { 'x-sluice-access': string }>>
    }>()
    const unnamed = new Set(rows)
    const parametersOf = (path: string) => path.split('{').length
    // Of two paths that fit, what a path spells out counts before what it leaves open, as the router has it.
    const pathOf = (row: Row) =>
      Object.keys(paths)
        .filter(path => row.method.toLowerCase() in (paths[path] ?? {}))
        .filter(path => new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(row.path))
        .toSorted((a, b) => parametersOf(a) - parametersOf(b))[0]
    const pathOfRow = new Map(rows.map(row => [row, pathOf(row)]))
    for (const [path, methods] of Object.entries(paths))
      for (const [method, operation] of Object.entries(methods)) {
        const found = rows.filter(row => row.method === method.toUpperCase() && pathOfRow.get(row) === path)
        assert.ok(found.length > 0, `${method} ${path} is in no row`)
        for (const row of found) {
          unnamed.delete(row)
          assert.deepEqual(new Set(row.allowed), new Set(whoHas(operation['x-sluice-access'])), `${method} ${path}`)
        }
      }
    assert.deepEqual([...unnamed], [])
  })
})

/** Who gets through by the access that a route states. */
function whoHas(access: string): readonly Who[] {
  if (access === 'public') return everyone
  if (access === 'signed-in') return signedIn
  if (access === 'account-admin') return accountAdmins
  if (access === 'operate') return operators
  if (access === 'project') return inProject
  return inProject.filter(who => {
    const role = who === 'account admin' ? 'admin' : (who.replace(' key', '') as Role)
    return (rolePermissions[role] as readonly string[]).includes(access)
  })
}

test('two projects see nothing of each other', async t => {
  const scope = closeInReverse(t)
  const { app, db, deps, installation, lines } = await startAccounts(scope)
  const stranger = await addAccount(deps)
  const mine = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }

  await t.test('another project’s key cannot be revoked through one’s own project', async () => {
    const url = `/accounts/projects/${installation.project_id}/api-keys/${stranger.keyId}`
    assert.equal((await app.inject({ method: 'DELETE', url, headers: mine })).statusCode, 404)
    const theirs = { authorization: `Bearer ${stranger.apiKey}` }
    assert.equal((await app.inject({ url: '/accounts/whoami', headers: theirs })).statusCode, 200)
  })

  await t.test('what a credential, an id or a page says is never read as SQL, and never fails a query', async () => {
    const before = lines.length
    const texts = [
      "' or '1'='1",
      "'; drop table accounts.api_keys; --",
      "') union select * from accounts.sessions --",
      '$1',
      '%00',
      '\\',
      '"',
      'x'.repeat(4_000),
      '%',
      '_',
      '{{7*7}}<%= 7*7 %>#{7*7}',
    ]
    const project = `/accounts/projects/${installation.project_id}`
    for (const text of texts)
      for (const credential of [text, `ma-${text}`, `st_${text}`, `${stranger.apiKey}${text}`]) {
        const authorization = `Bearer ${credential}`
        const answer = await app.inject({ url: '/accounts/whoami', headers: { authorization } })
        assert.equal(answer.statusCode, 401, credential)
      }
    for (const [turn, id] of [...texts, '\0', 'a\0'].map(encodeURIComponent).entries()) {
      // Every place meets a third of the texts, and every text a third of the places; what no PostgreSQL stores meets all.
      const isAlways = decodeURIComponent(id).includes('\0')
      const inTurn = (places: string[]) =>
        sized({ small: places.filter((_, place) => isAlways || (place + turn) % 3 === 0), full: places })
      for (const path of inTurn([
        `/users/${id}`,
        `/api-keys/${id}`,
        `/teams/${id}`,
        `/rooms/${id}`,
        `/service-accounts/${id}`,
        `/service-accounts/${id}/api-keys`,
        `/teams/${id}/members`,
        `/integrations/${id}`,
      ])) {
        const answer = await app.inject({ url: project + path, headers: mine })
        assert.deepEqual([answer.statusCode, answer.json().error?.code], [404, 'not_found'], path)
      }
      for (const start of inTurn([
        'audit?actor=',
        'audit?action=',
        'audit?target=',
        'service-accounts?filter=',
        'room-grants/by-user/',
      ])) {
        const answer = await app.inject({ url: `${project}/${start}${id}`, headers: mine })
        assert.ok(answer.statusCode < 500, `${start}: ${answer.body}`)
      }
      for (const query of ['filter', 'continuation_token', 'count', 'page_size']) {
        const answer = await app.inject({ url: `${project}/users?${query}=${id}`, headers: mine })
        assert.ok(answer.statusCode < 500, `${query}: ${answer.body}`)
        if (query === 'filter' && answer.statusCode === 200) assert.deepEqual(answer.json().users, [], id)
      }
    }
    const { project_id: pid, team_id } = installation
    for (const [list, path] of [
      ['projects', '/accounts/projects'],
      ['members', '/accounts/members'],
      [`keys ${pid}`, `${project}/api-keys`],
      [`users ${pid}`, `${project}/users`],
      [`teams ${pid}`, `${project}/teams`],
      [`members ${team_id}`, `${project}/teams/${team_id}/members`],
      [`service-accounts ${pid}`, `${project}/service-accounts`],
      [`integrations ${pid}`, `${project}/integrations`],
      [`rooms ${pid}`, `${project}/rooms`],
      [`audit ${pid}`, `${project}/audit`],
    ])
      for (const after of ['nope', '\0', 'a\0b', "' or '1'='1", '9e99']) {
        const token = Buffer.from(`${list}\n${after}`).toString('base64url')
        const answer = await app.inject({ url: `${path}?continuation_token=${token}`, headers: mine })
        const isRefused = answer.statusCode === 400
        assert.ok(isRefused || (answer.statusCode === 200 && !after.includes('\0')), `${path} ${after}: ${answer.body}`)
      }
    const leap = '2016-12-31T23:59:60Z'
    const ahead = '2099-12-31T23:59:60Z'
    for (const [method, path, payload] of [
      ['GET', `/audit?since=${leap}`],
      ['GET', `/teams/${team_id}/members?at=${leap}`],
      ['PUT', `/teams/${team_id}/members/${installation.member_id}`, { valid_from: ahead }],
      ['POST', `/teams/${team_id}/cost-centres`, { cost_centre: 'x', valid_from: ahead }],
      ['POST', '/api-keys', { name: 'x', expires_at: ahead }],
      ['PUT', '/settings/otel', { endpoint: 'https://c.example.com', filter: { apps: ['a\0'] } }],
      ['PUT', '/settings/otel', { endpoint: 'https://c.example.com', filter: { apps: ['a\ud800'] } }],
      ['POST', '/rooms', { name: 'r', permissions: { 'a\0b': { llm: {} } } }],
    ] as const) {
      const answer = await app.inject({ method, url: project + path, headers: mine, ...(payload && { payload }) })
      assert.deepEqual(
        [answer.statusCode, answer.json().error.code],
        [400, 'invalid_request'],
        `${path} ${answer.body}`,
      )
    }
    assert.deepEqual(
      lines.slice(before).filter(line => line.includes('request failed')),
      [],
    )
    assert.equal((await app.inject({ url: '/accounts/whoami', headers: mine })).statusCode, 200)
  })

  await t.test('a key cannot be paid by another project’s team', async () => {
    const url = `/accounts/projects/${stranger.projectId}/api-keys`
    const answer = await app.inject({
      method: 'POST',
      url,
      headers: { authorization: `Bearer ${stranger.apiKey}` },
      payload: { name: 'x', team_id: installation.team_id },
    })
    assert.equal(answer.statusCode, 400)
  })

  await t.test('lists hold one’s own alone', async () => {
    const listOf = async (headers: { authorization: string }) =>
      (await app.inject({ url: '/accounts/projects', headers })).json().projects.map((p: { id: string }) => p.id)
    assert.deepEqual(await listOf(mine), [installation.project_id])
    assert.deepEqual(await listOf({ authorization: `Bearer ${stranger.apiKey}` }), [stranger.projectId])
  })

  await t.test('the schema refuses a member of one account in the project of another', async () => {
    await assert.rejects(addMember(db, stranger.accountId, installation.project_id, 'admin'), { code: '23503' })
  })

  await t.test('an unknown project and a hidden one answer alike', async () => {
    const answerOf = async (pid: string) => {
      const answer = await app.inject({ url: `/accounts/projects/${pid}`, headers: mine })
      const { code, message } = answer.json().error
      return { status: answer.statusCode, code, message }
    }
    const hidden = await answerOf(stranger.projectId)
    assert.equal(hidden.status, 404)
    assert.deepEqual(await answerOf(absent), hidden)
    assert.deepEqual(await answerOf('not-a-uuid'), hidden)
  })
})
