import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import type * as MeshagentClient from '@meshagent/meshagent'
import { parseApiKey } from '@sluice/runtime'
import { closeInReverse, goodToken, hostileTokens } from '@sluice/test-env'
import { readKeyDocuments } from '../src/api-key-store.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

// Required, since the package's build for import does not load under Node.
const { ApiScope, Meshagent, ParticipantToken }: typeof MeshagentClient = createRequire(import.meta.url)(
  '@meshagent/meshagent',
)

test('keys of a project', async t => {
  const scope = closeInReverse(t)
  let aheadMs = 0
  const { app, db, deps, installation } = await startAccounts(scope, { now: () => Date.now() + aheadMs })
  const { project_id: pid } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const url = `/accounts/projects/${pid}/api-keys`
  const create = (payload: Record<string, unknown>, token = adminToken) =>
    app.inject({
      method: 'POST',
      url,
      headers: { authorization: `Bearer ${token}` },
      payload: { name: 'ci', ...payload },
    })
  const whoami = (token: string) =>
    app.inject({ url: '/accounts/whoami', headers: { authorization: `Bearer ${token}` } })

  await t.test('the value is shown once and never listed', async () => {
    const answer = await create({ description: 'for tests' })
    const { id, name, description, value, ...rest } = answer.json()
    assert.deepEqual([name, description, rest], ['ci', 'for tests', {}])
    const parts = parseApiKey(value)
    assert.deepEqual([parts?.keyId, parts?.projectId], [id, pid])
    const list = await app.inject({ url, headers: { authorization: `Bearer ${adminToken}` } })
    const listed = list.json().keys.find((key: { id: string }) => key.id === id)
    assert.equal(listed.role, 'developer')
    assert.ok(parts && !list.body.includes(parts.secret))
    assert.ok(!JSON.stringify(await db.selectFrom('api_key_secrets').selectAll().execute()).includes(parts.secret))
  })

  await t.test('a revoked key is refused at once', async () => {
    const { id, value } = (await create({})).json()
    assert.equal((await whoami(value)).statusCode, 200)
    const headers = { authorization: `Bearer ${adminToken}` }
    assert.equal((await app.inject({ method: 'DELETE', url: `${url}/${id}`, headers })).statusCode, 204)
    assert.equal((await whoami(value)).statusCode, 401)
    assert.ok(!(await app.inject({ url, headers })).body.includes(id))
  })

  await t.test('an expired key is refused', async () => {
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    const { value } = (await create({ expires_at })).json()
    assert.equal((await whoami(value)).statusCode, 200)
    aheadMs = 61_000
    assert.equal((await whoami(value)).statusCode, 401)
    aheadMs = 0
    assert.equal((await create({ expires_at: '2020-01-01T00:00:00Z' })).statusCode, 400)
    assert.equal((await create({ expires_at: 'tomorrow' })).statusCode, 400)
  })

  await t.test('a key makes no key beyond its own role, models and lifetime', async () => {
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    const { value } = (await create({ role: 'admin', models: ['openai/gpt-5*'], expires_at })).json()
    const within = { models: ['openai/gpt-5-mini'], expires_at }
    assert.equal((await create(within, value)).statusCode, 200)
    for (const beyond of [
      { ...within, models: ['openai/*'] },
      { ...within, models: null },
      { models: within.models },
      { ...within, expires_at: new Date(Date.now() + 120_000).toISOString() },
    ])
      assert.equal((await create(beyond, value)).statusCode, 403, JSON.stringify(beyond))
  })

  await t.test('a key is a member’s only where they are one of its project', async () => {
    const { memberId } = await addMember(db, installation.account_id, pid, 'member')
    const { id } = (await create({ member_id: memberId })).json()
    const list = await app.inject({ url, headers: { authorization: `Bearer ${adminToken}` } })
    const listed = list.json().keys as { id: string; member_id: string | null }[]
    assert.equal(listed.find(key => key.id === id)?.member_id, memberId)
    assert.equal(listed.find(key => key.id === installation.key_id)?.member_id, null)
    const [document] = await readKeyDocuments(db, [id])
    assert.equal(document?.member_id, memberId)
    const [entry] = await db.selectFrom('audit_entries').select('after').where('target', '=', id).execute()
    assert.equal((entry?.after as { member_id?: string } | undefined)?.member_id, memberId)
    assert.equal((await create({ member_id: installation.member_id })).statusCode, 200, 'who administers the account')

    const { memberId: unassigned } = await addMember(db, installation.account_id, pid, 'member')
    await db.deleteFrom('project_members').where('member_id', '=', unassigned).execute()
    const { memberId: stranger } = await addAccount(deps)
    for (const member_id of [unassigned, stranger, 'mem_none', '']) {
      const answer = await create({ member_id })
      assert.equal(answer.statusCode, 400, member_id)
      assert.match(answer.json().error.message, /member_id/)
    }
  })

  await t.test('what a request may not hold is named', async () => {
    const unstorable = ['ci\u0000', 'half \ud83d a pair'].flatMap(text => [
      { name: text },
      { description: text },
      { models: [`openai/${text.replaceAll(' ', '')}`] },
    ])
    for (const payload of [
      { name: '' },
      { name: ' \n' },
      { role: 'owner' },
      { models: ['gpt-5'] },
      { budget: 5 },
      ...unstorable,
    ]) {
      const answer = await create(payload)
      assert.equal(answer.statusCode, 400, JSON.stringify(payload))
      assert.equal(answer.json().error.code, 'invalid_request')
    }
    assert.equal((await create({ name: 'Größe 🙂', description: 'two\nlines' })).statusCode, 200)
  })

  await t.test('a content type without a body is fine where none is needed, and named where one is', async () => {
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' }
    const { id } = (await create({})).json()
    assert.equal((await app.inject({ method: 'DELETE', url: `${url}/${id}`, headers })).statusCode, 204)
    assert.equal((await app.inject({ method: 'POST', url, headers })).statusCode, 400)
    assert.equal((await app.inject({ method: 'POST', url, headers, payload: '{' })).statusCode, 400)
    assert.equal((await app.inject({ method: 'POST', url, headers, payload: '{"__proto__": {}}' })).statusCode, 400)
  })

  await t.test('the client of MeshAgent manages keys, and a token it signs is validated', async () => {
    const baseUrl = await app.listen({ host: '127.0.0.1', port: 0 })
    const client = new Meshagent({ baseUrl, token: adminToken })
    assert.equal(await client.getProjectRole(pid), 'admin')
    assert.equal(await client.getStatus(pid), true)
    assert.equal((await client.getProject(pid)).id, pid)
    assert.equal((await client.getUserProfile('me')).email, 'admin@example.com')
    const project = await client.createProject('made by the client')
    assert.equal(typeof project.project_key, 'string')
    await client.updateProjectSettings(pid, { unpriced: 'meter_tokens_only' })

    const created = (await client.createApiKey(pid, 'client', 'made by it')) as { id: string; value: string }
    const listed = (await client.listApiKeys(pid)) as { keys: { id: string }[] }
    assert.ok(listed.keys.some(key => key.id === created.id))

    const token = new ParticipantToken({ name: 'worker' })
    token.addApiGrant(ApiScope.agentDefault())
    token.addRoomGrant('my-room')
    const jwt = await token.toJwt({ apiKey: created.value })
    const validate = () =>
      app.inject({ method: 'POST', url: '/api/participant-token/validate', payload: { token: jwt } })
    const claims = (await validate()).json()
    assert.deepEqual([claims.name, claims.kid, claims.sub], ['worker', created.id, pid])
    assert.ok(claims.grants.some((grant: { name: string }) => grant.name === 'api'))

    await client.deleteApiKey(pid, created.id)
    const answer = await validate()
    assert.equal(answer.statusCode, 400)
    assert.equal(answer.json().error.code, 'invalid_token')
  })

  await t.test('no forged, altered or oddly written token is validated, and none brings the service down', async t => {
    const partsOf = (value: string) => {
      const parts = parseApiKey(value)
      assert.ok(parts)
      return { ...parts, value }
    }
    const key = partsOf((await create({})).json().value)
    const theirs = partsOf((await addAccount(deps)).apiKey)
    const validate = (token: string) =>
      app.inject({ method: 'POST', url: '/api/participant-token/validate', payload: { token } })
    const good = await validate(goodToken(key, { custom: { kept: true } }))
    assert.deepEqual([good.statusCode, good.json().custom], [200, { kept: true }])
    const attacks = hostileTokens(key, theirs)
    t.diagnostic(`${attacks.length} tokens`)
    for (const { what, token } of attacks) {
      const answer = await validate(token)
      assert.equal(answer.statusCode, token.length > 1 << 20 ? 413 : 400, what)
    }
  })
})
