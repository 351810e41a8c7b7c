import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import type * as MeshagentClient from '@meshagent/meshagent'
import { type Bundle, permissionsOf, type Role, rolePermissions } from '@sluice/contracts'
import { closeInReverse } from '@sluice/test-env'
import { readKeyDocuments } from '../src/api-key-store.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

const { Meshagent }: typeof MeshagentClient = createRequire(import.meta.url)('@meshagent/meshagent')

test('people of a project', async t => {
  const scope = closeInReverse(t)
  const { app, db, deps, installation } = await startAccounts(scope)
  const { project_id: pid, account_id: accountId } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const stranger = await addAccount(deps)
  const users = `/accounts/projects/${pid}/users`
  type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
  const call = async (method: Method, url: string, payload?: Record<string, unknown>, token = adminToken) => {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
  const add = async (body: Record<string, unknown>, token?: string) => {
    const answer = await call('POST', users, body, token)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body.user_id as string
  }
  const get = async (id: string) => (await call('GET', `${users}/${id}`)).body
  const keyOf = async (memberId: string, role: Role = 'developer') =>
    (await call('POST', `/accounts/projects/${pid}/api-keys`, { name: 'own', member_id: memberId, role })).body as {
      id: string
      value: string
    }
  const permissionsOfKey = async (id: string) => (await readKeyDocuments(db, [id]))[0]?.permissions

  await t.test('an unknown address becomes a member of the account who cannot sign in', async () => {
    const answer = await call('POST', users, { email: 'New@Example.com', first_name: 'Ada', is_developer: true })
    assert.equal(answer.body.created, true)
    const member = await get(answer.body.user_id)
    assert.deepEqual(
      [member.email, member.first_name, member.direct_roles],
      ['New@Example.com', 'Ada', ['developer', 'llm_proxy_user']],
    )
    const signIn = await call('POST', '/accounts/sign-in', { email: 'new@example.com', password: 'anything at all' })
    assert.equal(signIn.status, 401)
    const again = await call('POST', users, { email: 'new@example.com' })
    assert.equal(again.status, 409)
  })

  await t.test('flags and names of roles say the same', async () => {
    const table: [body: Record<string, unknown>, roles: (Role | Bundle)[]][] = [
      [{}, ['member']],
      [{ can_use_llm_proxy: true, can_create_rooms: true }, ['member', 'llm_proxy_user', 'room_creator']],
      [{ is_developer: true }, ['developer', 'llm_proxy_user']],
      [{ is_developer: true, can_use_llm_proxy: false }, ['developer']],
      [{ is_admin: true, is_developer: true, can_create_agents: true }, ['admin', 'llm_proxy_user']],
      [{ roles: ['member'] }, ['member']],
      [{ roles: ['member', 'developer', 'billing_manager'] }, ['developer', 'billing_manager']],
      [{ roles: ['auditor', 'llm_proxy_user'] }, ['member', 'llm_proxy_user', 'auditor']],
    ]
    const id = await add({ email: 'flags@example.com' })
    for (const [body, roles] of table) {
      // Bundles that no flag names stay: none here.
      await call('PUT', `${users}/${id}`, { roles: [] })
      assert.equal((await call('PUT', `${users}/${id}`, { ...body, project_id: pid })).status, 200)
      const { direct_roles, is_admin, is_developer, can_use_llm_proxy } = await get(id)
      assert.deepEqual(direct_roles, roles, JSON.stringify(body))
      const permissions = permissionsOf(roles[0] as Role, roles.slice(1) as Bundle[])
      assert.deepEqual(
        [is_admin, is_developer, can_use_llm_proxy],
        [roles[0] === 'admin', roles[0] !== 'member', permissions.includes('llm:invoke')],
      )
    }
    await call('PUT', `${users}/${id}`, { roles: ['billing_manager'] })
    await call('PUT', `${users}/${id}`, { is_developer: true })
    assert.deepEqual((await get(id)).direct_roles, ['developer', 'llm_proxy_user', 'billing_manager'])
    for (const body of [
      { roles: ['member'], is_admin: false },
      { roles: ['owner'] },
      { is_owner: true },
      { project_id: 'x' },
    ])
      assert.equal((await call('PUT', `${users}/${id}`, body)).status, 400, JSON.stringify(body))
  })

  await t.test('the client of MeshAgent adds, lists and removes people, and changes names', async () => {
    const client = new Meshagent({ baseUrl: await app.listen({ host: '127.0.0.1', port: 0 }), token: adminToken })
    const { memberId } = await addMember(db, accountId, pid, 'member')
    await client.removeUserFromProject(pid, memberId)
    await client.addUserToProject(pid, memberId, { isDeveloper: true })
    const page = await client.getUsersInProjectPage(pid, { count: 500, filter: memberId })
    assert.equal(page.total, 1)
    assert.deepEqual([page.users[0]?.id, page.users[0]?.is_developer], [memberId, true])
    await client.updateUserProfile('me', 'Grace', 'Hopper')
    assert.equal((await client.getUserProfile('me')).first_name, 'Grace')
  })

  await t.test('lists come in pages of either form, and a page continues where the last one ended', async () => {
    for (let index = 0; index < 5; index++) await add({ email: `page-${index}@example.com` })
    const query = `${users}?filter=PAGE-`
    const whole = (await call('GET', query)).body
    const ids = whole.users.map((user: { id: string }) => user.id)
    assert.deepEqual([ids.length, whole.total, whole.continuation_token], [5, 5, null])
    const read: string[] = []
    let token: string | null | undefined
    do {
      const page = (await call('GET', `${query}&page_size=2${token ? `&continuation_token=${token}` : ''}`)).body
      read.push(...page.users.map((user: { id: string }) => user.id))
      token = page.continuation_token
    } while (token)
    assert.deepEqual(read, ids)
    const older = (await call('GET', `${query}&count=2&offset=3`)).body
    assert.deepEqual([older.users.map((user: { id: string }) => user.id), older.total], [ids.slice(3), 5])
    for (const wrong of ['page_size=0', 'page_size=501', 'page_size=x', 'continuation_token=AAAA', 'sort=name'])
      assert.equal((await call('GET', `${users}?${wrong}`)).status, 400, wrong)
    const { continuation_token } = (await call('GET', `${users}?page_size=1`)).body
    assert.equal((await call('GET', `/accounts/members?continuation_token=${continuation_token}`)).status, 400)
  })

  await t.test('a member’s key may do what they may, and follows what they are given and lose', async () => {
    const { memberId, token } = await addMember(db, accountId, pid, 'member', [])
    const key = await keyOf(memberId, 'admin')
    assert.deepEqual(await permissionsOfKey(key.id), ['rooms:connect', 'usage:read-own'])
    await call('PUT', `${users}/${memberId}`, { roles: ['llm_proxy_user', 'team_manager'] })
    assert.deepEqual(await permissionsOfKey(key.id), permissionsOf('member', ['llm_proxy_user', 'team_manager']))
    const role = async (credential: string) =>
      (await call('GET', `/accounts/projects/${pid}/role`, undefined, credential)).body
    assert.equal((await role(token)).can_use_llm_proxy, true)
    assert.equal((await role(key.value)).permissions.includes('teams:write'), true)

    assert.equal((await call('DELETE', `${users}/${memberId}`)).status, 200)
    assert.deepEqual(await permissionsOfKey(key.id), [])
    assert.equal((await call('GET', '/accounts/whoami', undefined, key.value)).status, 401)
    assert.equal((await call('GET', `/accounts/projects/${pid}`, undefined, token)).status, 404)
    assert.equal((await call('DELETE', `${users}/${memberId}`)).status, 404)
  })

  await t.test('who is disabled is signed out, and an account keeps an administrator', async () => {
    const { memberId, token } = await addMember(db, accountId, pid, 'admin')
    const key = await keyOf(memberId)
    const change = (id: string, rights: Record<string, boolean>) =>
      call('PUT', `/accounts/members/${id}`, { account_admin: false, operator: false, disabled: false, ...rights })
    const listed = (await call('GET', '/accounts/members?page_size=500')).body.members as { id: string }[]
    assert.ok(listed.some(member => member.id === memberId))
    assert.equal((await change(memberId, { disabled: true })).status, 200)
    assert.equal((await call('GET', '/accounts/whoami', undefined, token)).status, 401)
    assert.deepEqual(await permissionsOfKey(key.id), [])
    assert.equal((await change(memberId, { account_admin: true })).body.account_admin, true)
    assert.deepEqual(await permissionsOfKey(key.id), rolePermissions.developer)
    assert.equal((await change(memberId, {})).status, 200)
    const last = await change(installation.member_id, { operator: true })
    assert.deepEqual([last.status, last.body.error.code], [409, 'last_admin'])
    assert.equal((await change('mem_none', {})).status, 404)
    assert.equal((await change(stranger.memberId, {})).status, 404)
  })

  await t.test('whoever asks learns what somebody may do; about others only who manages members', async () => {
    const { memberId, token } = await addMember(db, accountId, pid, 'developer', [])
    const ask = (id: string, relation: string, credential = adminToken) =>
      call('POST', `/accounts/projects/${pid}/access:test`, { subject: { type: 'user', id }, relation }, credential)
    const table: [id: string, relation: string, allowed: boolean][] = [
      ['me', 'llm_proxy_user', true],
      ['me', 'admin', true],
      [memberId, 'developer', true],
      [memberId, 'admin', false],
      [memberId, 'llm_proxy_user', false],
      [memberId, 'usage:read', true],
      ['mem_none', 'member', false],
      [stranger.memberId, 'member', false],
    ]
    for (const [id, relation, allowed] of table)
      assert.deepEqual((await ask(id, relation)).body, { allowed, relation }, `${id} ${relation}`)
    assert.equal((await ask('me', 'llm_proxy_user', token)).body.allowed, false)
    assert.equal((await ask(installation.member_id, 'admin', token)).status, 403)
    assert.equal((await ask('me', 'toString')).status, 400)
  })

  await t.test('people of another account are no one’s here', async () => {
    for (const method of ['GET', 'PUT', 'DELETE'] as const)
      assert.equal((await call(method, `${users}/${stranger.memberId}`, method === 'PUT' ? {} : undefined)).status, 404)
    assert.equal((await call('POST', users, { user_id: stranger.memberId })).status, 404)
    const taken = await call('POST', users, { email: `${stranger.memberId}@example.com` })
    assert.equal(taken.status, 409)
    assert.equal((await call('GET', `/accounts/profiles/${stranger.memberId}`)).status, 404)
    assert.equal(
      (await call('PUT', `/accounts/profiles/${stranger.memberId}`, { first_name: '', last_name: '' })).status,
      404,
    )
    const { memberId, token } = await addMember(db, accountId, pid, 'member')
    assert.equal((await call('GET', `/accounts/profiles/${installation.member_id}`, undefined, token)).status, 404)
    assert.equal((await call('GET', `/accounts/profiles/${memberId}`)).status, 200)
  })

  await t.test('nobody gives or takes what they do not have', async () => {
    const target = await add({ email: 'target@example.com' })
    const { token } = await addMember(db, accountId, pid, 'member', ['member_manager'])
    const table: [before: (Role | Bundle)[], after: (Role | Bundle)[], status: number][] = [
      [['member'], ['member', 'member_manager'], 200],
      [['member', 'member_manager'], ['member'], 200],
      [['member'], ['admin'], 403],
      [['member'], ['llm_proxy_user'], 403],
      [['auditor'], ['member'], 403],
      [['admin'], ['member'], 403],
    ]
    for (const [before, after, status] of table) {
      await call('PUT', `${users}/${target}`, { roles: before })
      assert.equal(
        (await call('PUT', `${users}/${target}`, { roles: after }, token)).status,
        status,
        `${before}: ${after}`,
      )
      const left = status === 200 ? after : before
      assert.deepEqual((await get(target)).direct_roles, left.includes('auditor') ? ['member', 'auditor'] : left)
    }
    assert.equal((await call('POST', users, { email: 'more@example.com', is_admin: true }, token)).status, 403)
    assert.equal((await call('DELETE', `${users}/${target}`, undefined, token)).status, 403)
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    const limited = await call('POST', `/accounts/projects/${pid}/api-keys`, { name: 'x', role: 'admin', expires_at })
    assert.equal((await call('POST', users, { email: 'more@example.com' }, limited.body.value)).status, 403)
  })
})
