import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectBus, followBucket } from '@sluice/bus'
import { installationProject, ManagedIntegration } from '@sluice/contracts'
import { withinScope } from '@sluice/runtime'
import { closeInReverse, eventually } from '@sluice/test-env'
import { sql } from 'kysely'
import { buildApp } from '../src/app.ts'
import { repairAnnouncements } from '../src/repair-announcements.ts'
import { addMember, box, signInAs, startAccounts, startBus } from './start-accounts.ts'

test('the operator’s own access to providers', async t => {
  const scope = closeInReverse(t)
  const accounts = await startAccounts(scope)
  const { db, deps, installation, lines } = accounts
  const { nats, app, publisher, relay } = await startBus(scope, accounts)
  const { user, pass } = nats.users.gateway
  const gateway = await connectBus({ url: nats.url, user, password: pass }, 'gateway', deps.log)
  scope.after(() => gateway.close())
  const view = await followBucket(gateway, 'managed-integrations', ManagedIntegration, { log: deps.log })

  const asOperator = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }
  const url = '/accounts/managed-integrations'
  const send = (method: 'GET' | 'PUT' | 'DELETE' | 'POST', path = '', payload?: object, headers: object = asOperator) =>
    app.inject({ method, url: `${url}${path}`, headers: { ...headers }, ...(payload && { payload }) })
  const openOf = (document: ManagedIntegration | undefined) => {
    assert.ok(document?.credential)
    const binding = { projectId: installationProject, rowId: document.integration_id } as const
    return box.open(document.credential, { ...binding, purpose: 'integration-credential' })
  }

  await t.test('is set and shown with its secrets masked, and gateways open what they are told', async () => {
    const secrets = { api_key: 'sk-0123456789abcdef', headers: { 'x-extra': 'extra-secret' } }
    const answer = await send('PUT', '/openai', { ...secrets, organization: 'org-1' })
    assert.equal(answer.statusCode, 200, answer.body)
    const { id, created_at, updated_at, ...shown } = answer.json()
    assert.deepEqual(shown, {
      provider: 'openai',
      base_url: null,
      api_key: '****cdef',
      api_key_from: null,
      headers: { 'x-extra': '****' },
      organization: 'org-1',
      project: null,
    })
    assert.ok(id && created_at && updated_at)
    assert.deepEqual((await send('GET', '/openai')).json(), answer.json())
    assert.deepEqual((await send('GET')).json(), { integrations: [answer.json()] })
    assert.equal((await send('GET', '/anthropic')).statusCode, 404)
    const document = await eventually(() => view.get('openai'))
    assert.equal(openOf(document), secrets.api_key)
    const trail = await db.selectFrom('audit_entries').selectAll().where('target', '=', 'openai').execute()
    assert.deepEqual(
      trail.map(({ action, actor_id, project_id }) => [action, actor_id, project_id]),
      [['managed-integration.created', installation.member_id, null]],
    )
    const stored = JSON.stringify([trail, await db.selectFrom('managed_integrations').selectAll().execute(), lines])
    for (const secret of [secrets.api_key, 'extra-secret'])
      assert.ok(!stored.includes(secret) && !answer.body.includes(secret))
  })

  await t.test('keeps secrets that are not sent, but never for another host', async () => {
    const kept = await send('PUT', '/openai', { headers: { 'x-extra': '****' } })
    assert.deepEqual([kept.json().api_key, kept.json().organization], ['****cdef', null])
    const moved = await send('PUT', '/openai', { base_url: 'https://elsewhere.example.com/v1' })
    assert.deepEqual([moved.statusCode, moved.json().error.code], [400, 'invalid_request'])
    const whole = { base_url: 'https://elsewhere.example.com/v1/', api_key: 'sk-other-0123456789' }
    assert.equal((await send('PUT', '/openai', whole)).json().base_url, 'https://elsewhere.example.com/v1')
    const document = await eventually(() => view.get('openai')?.version === 3 && view.get('openai'))
    assert.equal(openOf(document), whole.api_key)
  })

  await t.test(
    'is refused where it says nothing, names a private address, or what providers set themselves',
    async () => {
      for (const [payload, code] of [
        [{}, 'invalid_request'],
        [{ api_key: null }, 'invalid_request'],
        [{ base_url: 'http://169.254.169.254/' }, 'private_base_url'],
        [{ base_url: 'http://[::1]:80' }, 'private_base_url'],
        [{ api_key: 'sk-x', headers: { host: 'x' } }, 'invalid_request'],
        [{ api_key: 'sk-x', api_key_from: { env: 'GATEWAY_CREDENTIAL_A' } }, 'invalid_request'],
        [{ api_key_from: { env: 'SLUICE_MASTER_KEY' } }, 'invalid_request'],
        [{ api_key: 'sk-x', team_id: 'team_x' }, 'invalid_request'],
      ] as const) {
        const answer = await send('PUT', '/anthropic', payload)
        assert.deepEqual([answer.statusCode, answer.json().error.code], [400, code], JSON.stringify(payload))
      }
      assert.equal((await send('PUT', '/none', { api_key: 'x' })).statusCode, 404)
      const fromGateways = await send('PUT', '/anthropic', { api_key_from: { file: 'anthropic-key' } })
      assert.deepEqual(fromGateways.json().api_key_from, { file: 'anthropic-key' })
      assert.deepEqual((await eventually(() => view.get('anthropic'))).credential_from, { file: 'anthropic-key' })
    },
  )

  await t.test(
    'is for operators alone: administrators and every role are refused, and the database shows it to no tenant',
    async () => {
      const { account_id: accountId, project_id: projectId } = installation
      await db
        .insertInto('members')
        .values({ member_id: 'mem_admin', account_id: accountId, email: 'a@example.com', account_admin: true })
        .execute()
      const tokens = [await signInAs(db, 'mem_admin')]
      for (const role of ['member', 'developer', 'admin'] as const)
        tokens.push((await addMember(db, accountId, projectId, role)).token)
      const { value } = (
        await app.inject({
          method: 'POST',
          url: `/accounts/projects/${projectId}/api-keys`,
          headers: asOperator,
          payload: { name: 'admin', role: 'admin' },
        })
      ).json()
      for (const token of [...tokens, value])
        for (const [method, path, payload] of [
          ['GET', '', undefined],
          ['GET', '/openai', undefined],
          ['PUT', '/openai', { api_key: 'sk-mine' }],
          ['DELETE', '/openai', undefined],
          ['POST', '/openai/test', {}],
        ] as const) {
          const answer = await send(method, path, payload, { authorization: `Bearer ${token}` })
          assert.deepEqual([answer.statusCode, answer.json().error.code], [403, 'forbidden'], `${method} ${path}`)
        }
      assert.equal((await app.inject({ url })).statusCode, 401)

      const rows = () => sql`select from managed_integrations`.execute(deps.db).then(({ rows }) => rows.length)
      assert.equal(await rows(), 0)
      for (const tenant of [{ accountId }, { accountId, projectId }]) {
        assert.equal(await withinScope(tenant, rows), 0)
        const change = sql`update managed_integrations set base_url = 'https://evil.example'`
        assert.equal((await withinScope(tenant, () => change.execute(deps.db))).numAffectedRows, 0n)
        const insert = sql`insert into managed_integrations (dialect, integration_id, version, created_at, updated_at)
        values ('openai', 'x', 1, now(), now()) on conflict do nothing`
        await assert.rejects(
          withinScope(tenant, () => insert.execute(deps.db)),
          { code: '42501' },
        )
      }
      assert.equal(await withinScope({ accountId, operator: true }, rows), 2)
      assert.equal(await withinScope({ system: true }, rows), 2)
    },
  )

  await t.test('the test names it to a gateway as it is now', async () => {
    const asked: unknown[] = []
    const result = { ok: true, message: 'fine', duration_ms: 1 }
    const testIntegration = (request: object) => {
      asked.push(request)
      return Promise.resolve(result)
    }
    const tested = buildApp({ ...deps, testIntegration })
    scope.after(() => tested.close())
    const answer = await tested.inject({ method: 'POST', url: `${url}/openai/test`, headers: asOperator })
    assert.deepEqual(answer.json(), result)
    assert.deepEqual(asked, [{ integration_id: (await send('GET', '/openai')).json().id, version: 3 }])
  })

  await t.test('a change arrives soon, and a bucket that lost it or holds more is repaired', async t => {
    const took: number[] = []
    for (let index = 0; index < 20; index++) {
      const started = performance.now()
      await send('PUT', '/openai', { api_key: `sk-${index}-0123456789`, base_url: 'https://elsewhere.example.com/v1' })
      await eventually(() => view.get('openai')?.version === 4 + index, { intervalMs: 1 })
      took.push(performance.now() - started)
    }
    took.sort((a, b) => a - b)
    t.diagnostic(
      `from request to a gateway's view, 20 times: median ${took[10]?.toFixed(1)} ms, worst ${took.at(-1)?.toFixed(1)} ms (promise: 100)`,
    )
    const expected = view.get('openai')
    await publisher.send({ id: '1', kind: 'kv-delete', target: 'managed-integrations', key: 'openai', payload: '' })
    await publisher.send({
      id: '2',
      kind: 'kv-put',
      target: 'managed-integrations',
      key: 'other',
      payload: JSON.stringify({ ...expected, base_url: 'https://evil.example' }),
    })
    await eventually(() => !view.get('openai') && view.get('other'))
    const repaired = await withinScope({ system: true }, () =>
      repairAnnouncements({ db: deps.db, now: deps.now, readDigests: publisher.readDigests, flush: relay.flush }),
    )
    assert.ok(repaired.announced >= 1 && repaired.withdrawn === 1)
    assert.deepEqual(await eventually(() => view.get('openai')), expected)
    await eventually(() => !view.get('other'))
  })

  await t.test('is taken away again, once', async () => {
    assert.equal((await send('DELETE', '/openai')).statusCode, 204)
    assert.equal((await send('DELETE', '/openai')).statusCode, 404)
    await eventually(() => !view.get('openai'))
    assert.equal((await send('GET', '/openai')).statusCode, 404)
    assert.equal((await send('POST', '/openai/test', {})).statusCode, 404)
    const { action } = await db
      .selectFrom('audit_entries')
      .select('action')
      .where('target', '=', 'openai')
      .orderBy('number', 'desc')
      .executeTakeFirstOrThrow()
    assert.equal(action, 'managed-integration.deleted')
  })
})
