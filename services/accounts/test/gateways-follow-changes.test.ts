import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { connectBus, followBucket, subscribe } from '@sluice/bus'
import { Key, KeyRevoked, type KeyRevokedData, Project, ProjectChanged, Session } from '@sluice/contracts'
import { hashCredential, parseApiKey } from '@sluice/runtime'
import { closeInReverse, eventually } from '@sluice/test-env'
import { readProjectDocument } from '../src/project-store.ts'
import { repairAnnouncements } from '../src/repair-announcements.ts'
import { sweep } from '../src/sweep.ts'
import { addMember, adminPassword, box, signInAs, startAccounts, startBus } from './start-accounts.ts'

test('gateways follow what accounts changes', async t => {
  const scope = closeInReverse(t)
  let aheadMs = 0
  const now = () => Date.now() + aheadMs
  const accounts = await startAccounts(scope, { now })
  const { db, deps, installation } = accounts
  const { nats, publisher, relay, changes, app } = await startBus(scope, accounts)
  const admin = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }
  const projectUrl = `/accounts/projects/${installation.project_id}`

  // A gateway's own credential: it also has to be allowed to see this.
  const { user, pass } = nats.users.gateway
  const gateway = await connectBus({ url: nats.url, user, password: pass }, 'gateway', deps.log)
  scope.after(() => gateway.close())
  const keys = await followBucket(gateway, 'keys', Key, { log: deps.log })
  const projects = await followBucket(gateway, 'projects', Project, { log: deps.log })
  const sessions = await followBucket(gateway, 'sessions', Session, { log: deps.log })
  const revoked: KeyRevokedData[] = []
  const versions: number[] = []
  // Gateways read the buckets; the events are the record of what was changed.
  const { user: adminUser, pass: adminPass } = nats.users.admin
  const record = await connectBus({ url: nats.url, user: adminUser, password: adminPass }, 'operator', deps.log)
  scope.after(() => record.close())
  subscribe(record, KeyRevoked, KeyRevoked.subject(), data => void revoked.push(data), deps.log)
  subscribe(record, ProjectChanged, ProjectChanged.subject(), data => void versions.push(data.version), deps.log)

  const createKey = async (payload: Record<string, unknown> = {}) => {
    const answer = await app.inject({
      method: 'POST',
      url: `${projectUrl}/api-keys`,
      headers: admin,
      payload: { name: 'ci', ...payload },
    })
    assert.equal(answer.statusCode, 200, answer.body)
    return answer.json<{ id: string; value: string }>()
  }

  await t.test('what bootstrap announced before the service ran arrives', async () => {
    const key = await eventually(() => keys.get(installation.key_id))
    assert.equal(key.team_id, installation.team_id)
    assert.equal(key.role, 'developer')
    const project = await eventually(() => projects.get(installation.project_id))
    assert.deepEqual(project.teams, [{ team_id: installation.team_id, name: 'default' }])
    assert.equal(project.allowed_models, null)
  })

  await t.test('a new key arrives with a secret that its own row and project open', async () => {
    const { id, value } = await createKey({ models: ['openai/*'], team_id: installation.team_id })
    const key = await eventually(() => keys.get(id))
    const [secret] = key.secrets
    assert.equal(secret?.hash, hashCredential(value))
    const binding = { purpose: 'key-secret', projectId: installation.project_id, rowId: id } as const
    assert.ok(secret.envelope)
    assert.equal(box.open(secret.envelope, binding), parseApiKey(value)?.secret)
    assert.deepEqual(key.models, ['openai/*'])
  })

  await t.test('a change arrives soon', async t => {
    const took: number[] = []
    for (let index = 0; index < 20; index++) {
      const started = performance.now()
      const { id } = await createKey()
      await eventually(() => keys.get(id), { intervalMs: 1 })
      took.push(performance.now() - started)
    }
    took.sort((a, b) => a - b)
    t.diagnostic(
      `from request to a gateway's view, 20 times: median ${took[10]?.toFixed(1)} ms, worst ${took.at(-1)?.toFixed(1)} ms (promise: 100)`,
    )
  })

  await t.test('an envelope moved to another key does not open', async () => {
    const [first, second] = [await createKey(), await createKey()]
    const moved = await eventually(() => keys.get(first.id)?.secrets[0]?.envelope)
    const binding = { purpose: 'key-secret', projectId: installation.project_id, rowId: second.id } as const
    assert.throws(() => box.open(moved, binding), { name: 'EnvelopeError' })
  })

  await t.test(
    'a deleted project is disabled at once; its keys and roles are worth nothing, and nobody finds it',
    async () => {
      const call = (method: 'GET' | 'POST' | 'DELETE', url: string, token: string, payload?: object) =>
        app.inject({ method, url, headers: { authorization: `Bearer ${token}` }, ...(payload && { payload }) })
      const adminToken = admin.authorization.slice('Bearer '.length)
      const { id } = (await call('POST', '/accounts/projects', adminToken, { name: 'short-lived' })).json<{
        id: string
      }>()
      const url = `/accounts/projects/${id}`
      const key = (await call('POST', `${url}/api-keys`, adminToken, { name: 'ci', role: 'admin' })).json<{
        id: string
        value: string
      }>()
      const member = await addMember(db, installation.account_id, id, 'developer')
      assert.equal((await call('GET', url, key.value)).statusCode, 200)
      assert.equal((await call('GET', url, member.token)).statusCode, 200)
      await eventually(() => projects.get(id)?.disabled === false)

      assert.equal((await call('DELETE', url, member.token)).statusCode, 403)
      assert.equal((await call('DELETE', url, key.value)).statusCode, 403)
      assert.equal((await call('DELETE', '/accounts/projects/none', adminToken)).statusCode, 404)
      assert.equal((await call('DELETE', url, adminToken)).statusCode, 204)
      await eventually(() => projects.get(id)?.disabled === true)
      await eventually(() => keys.get(key.id)?.permissions?.length === 0)
      await eventually(() => sessions.get(hashCredential(member.token))?.projects[id] === undefined)
      assert.equal((await call('DELETE', url, adminToken)).statusCode, 404)
      for (const token of [adminToken, member.token]) assert.equal((await call('GET', url, token)).statusCode, 404)
      assert.equal((await call('GET', url, key.value)).statusCode, 401)
      assert.equal((await call('POST', `${url}/api-keys`, adminToken, { name: 'ci' })).statusCode, 404)
      const { projects: listed } = (await call('GET', '/accounts/projects', adminToken)).json<{
        projects: { id: string }[]
      }>()
      assert.ok(!listed.some(project => project.id === id))
      const { entries } = (await call('GET', '/accounts/audit', adminToken)).json<{ entries: { action: string }[] }>()
      assert.ok(entries.some(({ action }) => action === 'project.deleted'))
    },
  )

  await t.test('a revoked key is marked, announced, and taken out an hour later', async () => {
    const { id } = await createKey()
    const answer = await app.inject({ method: 'DELETE', url: `${projectUrl}/api-keys/${id}`, headers: admin })
    assert.equal(answer.statusCode, 204)
    const key = await eventually(() => {
      const found = keys.get(id)
      return found?.revoked_at_ms !== undefined && found
    })
    assert.equal(key.version, 2)
    await eventually(() => revoked.find(data => data.key_id === id))
    const again = await app.inject({ method: 'DELETE', url: `${projectUrl}/api-keys/${id}`, headers: admin })
    assert.equal(again.statusCode, 404)

    await sweep(changes)
    aheadMs = 61 * 60_000
    await sweep(changes)
    aheadMs = 0
    await eventually(() => !keys.get(id))
    assert.ok(keys.get(installation.key_id))
  })

  await t.test('settings, integrations and allowed models arrive, each as the next version', async () => {
    const put = async (path: string, payload: unknown) => {
      const answer = await app.inject({
        method: 'PUT',
        url: `${projectUrl}/settings${path}`,
        headers: { ...admin, 'content-type': 'application/json' },
        payload: JSON.stringify(payload),
      })
      assert.equal(answer.statusCode, 200, answer.body)
    }
    const before = projects.get(installation.project_id)?.version ?? 0
    await put('', { unpriced: 'meter_tokens_only', on_client_abort: { openai: 'cancel' } })
    await put('/router', [{ provider: 'openai', model: 'gpt-5*' }])
    await put('/openai', { api_key: 'sk-0123456789abcdef', base_url: 'https://api.example.com/v1/' })
    const project = await eventually(() => {
      const found = projects.get(installation.project_id)
      return found?.version === before + 3 && found
    })
    assert.equal(project.unpriced, 'meter_tokens_only')
    assert.deepEqual(project.on_client_abort, { openai: 'cancel', anthropic: 'drain' })
    assert.deepEqual(project.allowed_models, ['openai/gpt-5*'])
    const [integration] = project.integrations
    assert.equal(integration?.base_url, 'https://api.example.com/v1')
    assert.ok(integration.credential)
    const binding = { purpose: 'integration-credential', projectId: installation.project_id } as const
    assert.equal(
      box.open(integration.credential, { ...binding, rowId: integration.integration_id }),
      'sk-0123456789abcdef',
    )
    await eventually(() => versions.includes(before + 3))
  })

  await t.test('of changes made at once the last one committed is what gateways hold', async () => {
    const models = Array.from({ length: 12 }, (_, index) => [{ provider: 'openai', model: `model-${index}` }])
    const url = `${projectUrl}/settings/router`
    await Promise.all(
      models.map(allowedModels => app.inject({ method: 'PUT', url, headers: admin, payload: { allowedModels } })),
    )
    const stored = await readProjectDocument(db, installation.project_id)
    const held = await eventually(() => {
      const found = projects.get(installation.project_id)
      return found?.version === stored.version && found
    })
    assert.deepEqual(held, stored)
  })

  await t.test('a session arrives at sign-in and goes at sign-out', async () => {
    const signedIn = await app.inject({
      method: 'POST',
      url: '/accounts/sign-in',
      payload: { email: 'admin@example.com', password: adminPassword },
    })
    const { access_token } = signedIn.json()
    const session = await eventually(() => sessions.get(hashCredential(access_token)))
    assert.equal(session.member_id, installation.member_id)
    assert.equal(session.account_admin, true)
    const signedOut = await app.inject({
      method: 'POST',
      url: '/accounts/sign-out',
      headers: { authorization: `Bearer ${access_token}` },
    })
    assert.equal(signedOut.statusCode, 204)
    await eventually(() => !sessions.get(hashCredential(access_token)))
  })

  await t.test('while NATS is silent a change is answered, and arrives when it is back', async () => {
    process.kill(nats.process.pid, 'SIGSTOP')
    let created: { id: string }
    try {
      created = await createKey()
      assert.equal(keys.get(created.id), undefined)
    } finally {
      process.kill(nats.process.pid, 'SIGCONT')
    }
    await eventually(() => keys.get(created.id))
  })

  const repair = () => repairAnnouncements({ db, now, readDigests: publisher.readDigests, flush: relay.flush })

  await t.test(
    'a repair where nothing differs writes nothing: gateways forget no token that they have verified',
    async () => {
      const room = await app.inject({
        method: 'POST',
        url: `${projectUrl}/rooms`,
        headers: admin,
        payload: { name: 'lobby' },
      })
      assert.equal(room.statusCode, 200, room.body)
      // Sessions that were made beside the routes were never announced.
      assert.ok((await repair()).announced > 0)
      const writes = () =>
        Promise.all(
          ['keys', 'projects', 'rooms', 'sessions'].map(async bucket => {
            const answer = await nats.admin.request(`$JS.API.STREAM.INFO.KV_${bucket}`)
            const { state } = answer.json<{ state: { messages: number; last_seq: number } }>()
            assert.ok(state.messages > 0, bucket)
            return state.last_seq
          }),
        )
      const before = await writes()
      assert.deepEqual(await repair(), { announced: 0, withdrawn: 0 })
      assert.deepEqual(await writes(), before)
    },
  )

  await t.test('what the buckets lost is put back, and what they should not hold is deleted', async () => {
    const [key, project] = [keys.get(installation.key_id), projects.get(installation.project_id)]
    assert.ok(key && project)
    const strangerId = '00000000-0000-7000-8000-000000000000'
    await publisher.send({ id: '0', kind: 'kv-delete', target: 'keys', key: key.key_id, payload: '' })
    await publisher.send({ id: '0', kind: 'kv-delete', target: 'projects', key: project.project_id, payload: '' })
    const session = [...sessions.entries()].find(([, { member_id }]) => member_id === installation.member_id)
    assert.ok(session)
    const [tokenHash, document] = session
    const exalted = Session.encode({ ...document, operator: !document.operator })
    await publisher.send({ id: '0', kind: 'kv-put', target: 'sessions', key: tokenHash, payload: exalted })
    const room = `${project.project_id}.lobby`
    await publisher.send({ id: '0', kind: 'kv-delete', target: 'rooms', key: room, payload: '' })
    const stranger = Key.encode({ ...key, key_id: strangerId })
    await publisher.send({ id: '0', kind: 'kv-put', target: 'keys', key: strangerId, payload: stranger })
    await eventually(() => !keys.get(key.key_id) && !projects.get(project.project_id) && keys.get(strangerId))

    assert.deepEqual(await repair(), { announced: 4, withdrawn: 1 })
    assert.deepEqual(await eventually(() => isDeepStrictEqual(sessions.get(tokenHash), document) && document), document)
    assert.ok((await publisher.readDigests('rooms')).has(room))
    assert.deepEqual(await eventually(() => keys.get(key.key_id)), key)
    assert.deepEqual(await eventually(() => projects.get(project.project_id)), project)
    await eventually(() => !keys.get(strangerId))
  })

  await t.test('who sees no project in PostgreSQL withdraws nothing, and says so', async () => {
    const held = { keys: await publisher.readDigests('keys'), projects: await publisher.readDigests('projects') }
    // The working role, told for nobody: every table is empty to it.
    const blind = { db: deps.db, now, readDigests: publisher.readDigests, flush: relay.flush }
    await assert.rejects(repairAnnouncements(blind), /PostgreSQL shows no project, but gateways hold \d+ documents/)
    await relay.flush()
    assert.deepEqual(await publisher.readDigests('keys'), held.keys)
    assert.deepEqual(await publisher.readDigests('projects'), held.projects)
    assert.ok(held.keys.size > 0 && held.projects.size > 0)
  })
})
