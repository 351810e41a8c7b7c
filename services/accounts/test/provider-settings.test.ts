import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { closeInReverse, leadsHome, privateHosts } from '@sluice/test-env'
import { buildApp } from '../src/app.ts'
import { createSendSpans } from '../src/send-spans.ts'
import { addMember, signInAs, startAccounts } from './start-accounts.ts'

test('what a project says about providers', async t => {
  const { app, db, deps, installation } = await startAccounts(closeInReverse(t))
  const headers = {
    authorization: `Bearer ${await signInAs(db, installation.member_id)}`,
    'content-type': 'application/json',
  }
  const settings = `/accounts/projects/${installation.project_id}/settings`
  const get = (path: string) => app.inject({ url: settings + path, headers })
  const put = (path: string, body: unknown, at = app) =>
    at.inject({ method: 'PUT', url: settings + path, headers, payload: JSON.stringify(body) })

  await t.test('a credential is written and never read back', async () => {
    assert.equal((await get('/openai')).statusCode, 404)
    const answer = await put('/openai', {
      api_key: 'sk-proj-0123456789abcdef',
      base_url: 'https://api.example.com/v1/',
    })
    assert.deepEqual(answer.json(), { api_key: '****cdef', base_url: 'https://api.example.com/v1' })
    assert.deepEqual((await get('/openai')).json(), answer.json())
    assert.equal((await get('/anthropic')).statusCode, 404)
    const deleted = await app.inject({
      method: 'DELETE',
      url: `${settings}/openai`,
      headers: { authorization: headers.authorization },
    })
    assert.equal(deleted.statusCode, 204)
    assert.equal((await get('/openai')).statusCode, 404)
    assert.deepEqual(await db.selectFrom('integrations').selectAll().execute(), [])
  })

  await t.test(
    'a local address is refused in words and in every spelling, unless the operator allows them',
    async () => {
      const few = ['127.0.0.1:9', 'localhost', '169.254.169.254', '[::1]']
      for (const host of [...few, ...privateHosts.filter((_, index) => index % 16 === 0)]) {
        const base_url = `http://${host}/v1`
        const answer = await put('/openai', { api_key: 'sk-0123456789abcdef', base_url })
        assert.equal(answer.statusCode, 400, base_url)
        assert.match(answer.json().error.message, /SLUICE_ALLOW_PRIVATE_UPSTREAMS=1/)
      }
      const lenient = buildApp({ ...deps, allowPrivateUpstreams: true })
      t.after(() => lenient.close())
      const answer = await put('/anthropic', { base_url: 'http://127.0.0.1:4010/' }, lenient)
      assert.deepEqual(answer.json(), { api_key: null, base_url: 'http://127.0.0.1:4010' })
    },
  )

  await t.test('a collector’s headers are written and never read back, and follow to no other host', async () => {
    const endpoint = 'https://otel.example.com/in'
    const filter = { models: ['openai/gpt-5*'], statuses: ['failed'] }
    for (const method of ['GET', 'DELETE'] as const)
      assert.equal((await app.inject({ method, url: `${settings}/otel`, headers })).statusCode, 404)
    const made = (
      await put('/otel', { endpoint, bearer: 'abc', headers: { 'x-team': 'red' }, sample_ratio: 0.5, filter })
    ).json()
    const { updated_at: _, ...rest } = made
    const masked = { authorization: '****', 'x-team': '****' }
    assert.deepEqual(rest, { endpoint: `${endpoint}/v1/traces`, headers: masked, sample_ratio: 0.5, filter })
    assert.deepEqual((await get('/otel')).json(), made)
    const kept = await put('/otel', { endpoint: 'https://otel.example.com', headers: masked })
    assert.deepEqual([kept.statusCode, kept.json().sample_ratio, kept.json().filter], [200, 1, null])
    const expression = await put('/otel', { endpoint, filter: 'provider == `openai`' })
    assert.match(expression.json().error.message, /^filter is an object of lists/)
    for (const wrong of [
      { endpoint: 'https://elsewhere.example.com', headers: masked },
      { endpoint, headers: { 'x-new': '****' } },
      { endpoint, headers: { host: 'x' } },
      { endpoint, headers: { 'X-Team': 'x' } },
      { endpoint, headers: { 'x-team': 'a\nb' } },
      { endpoint, headers: { authorization: 'x' }, bearer: 'y' },
      { endpoint, sample_ratio: 1.1 },
      { endpoint, filter: 'x' },
      { endpoint, filter: { models: ['gpt-5'] } },
      { endpoint, filter: { statuses: ['fine'] } },
      { endpoint, filter: { rooms: ['x'] } },
      { endpoint: `${endpoint}?a=b` },
      { endpoint: 'https://user:pass@otel.example.com' },
      { endpoint: 'ftp://otel.example.com' },
      { headers: {} },
    ])
      assert.equal((await put('/otel', wrong)).statusCode, 400, JSON.stringify(wrong))
    const trail = await db
      .selectFrom('audit_entries')
      .select(['action', 'after'])
      .where('action', '=', 'otel-settings.changed')
      .execute()
    assert.equal(trail.length, 2)
    const deleted = await app.inject({
      method: 'DELETE',
      url: `${settings}/otel`,
      headers: { authorization: headers.authorization },
    })
    assert.equal(deleted.statusCode, 204)
    assert.deepEqual(await db.selectFrom('otel_settings').selectAll().execute(), [])
  })

  await t.test('no collector is off the public internet, however its address is written or resolved', async () => {
    for (const host of privateHosts)
      assert.equal((await put('/otel', { endpoint: `https://${host}/` })).statusCode, 400, host)
    let heard = 0
    const server = createServer(socket => {
      heard++
      socket.destroy()
    })
    server.listen(0, '::')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as AddressInfo
    const send = createSendSpans({ allowPrivate: false })
    for (const host of ['localhost', ...privateHosts.filter(leadsHome)]) {
      const outcome = await send({ endpoint: `http://${host}:${port}/v1/traces`, headers: {} }, [])
      assert.equal(outcome.ok, false, host)
    }
    assert.equal(heard, 0)
    // The same address is heard where the operator allows it, so that silence says something.
    await createSendSpans({ allowPrivate: true })({ endpoint: `http://localhost:${port}`, headers: {} }, [])
    assert.equal(heard, 1)
  })

  await t.test('other documents and unknown fields are refused', async () => {
    assert.equal((await put('/grok', { api_key: 'x' })).statusCode, 404)
    assert.equal((await put('/openai', { apiKey: 'sk-0123456789abcdef' })).statusCode, 400)
    assert.equal((await put('/openai', {})).statusCode, 400)
    assert.equal((await put('/openai', { api_key: 'sk-with\r\nnewline' })).statusCode, 400)
  })

  await t.test('allowed models are read back as they were set, in either form', async () => {
    assert.deepEqual((await get('/router')).json(), { allowedModels: null })
    const allowedModels = [{ provider: 'openai', model: 'gpt-5*' }]
    assert.deepEqual((await put('/router', { allowedModels })).json(), { allowedModels })
    assert.deepEqual((await put('/router', allowedModels)).json(), { allowedModels })
    assert.deepEqual((await get('/router')).json(), { allowedModels })
    assert.deepEqual((await put('/router', { allowedModels: null })).json(), { allowedModels: null })
    for (const wrong of [
      { allowed_models: [] },
      { allowedModels, rules: [] },
      [{ provider: 'openai' }],
      ['openai/x'],
      'x',
    ])
      assert.equal((await put('/router', wrong)).statusCode, 400, JSON.stringify(wrong))
  })

  await t.test('whoever brings credentials alone does not say what is let in and how it is counted', async () => {
    const { account_id, project_id } = installation
    const { token } = await addMember(db, account_id, project_id, 'member', ['integration_manager'])
    const manager = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const putAs = (whose: Record<string, string>, body: object) =>
      app.inject({ method: 'PUT', url: settings, headers: whose, payload: JSON.stringify(body) })
    assert.equal((await putAs(headers, { path_classes: { free: true } })).statusCode, 200)
    const asItIs = { path_classes: { free: true }, on_client_abort: { openai: 'cancel' }, theme: 'dark' }
    assert.equal((await putAs(manager, asItIs)).statusCode, 200)
    for (const [name, value] of [
      ['unpriced', 'meter_tokens_only'],
      ['path_classes', { stored: true, free: true }],
      ['unknown_rooms', 'deny'],
    ] as const) {
      const refused = await putAs(manager, { ...asItIs, [name]: value })
      assert.deepEqual([refused.statusCode, refused.json().error.code], [403, 'forbidden'], name)
      assert.match(refused.json().error.message, new RegExp(name))
    }
    assert.equal((await putAs(headers, {})).statusCode, 200)
  })

  await t.test('settings keep what they do not know, say what is in force, and take no credential', async () => {
    const answer = await put('', { unpriced: 'meter_tokens_only', theme: { colour: 'blue' } })
    const inForce = {
      on_client_abort: { openai: 'drain', anthropic: 'drain' },
      path_classes: { stored: false, free: false, batches: false, realtime_calls: false },
    }
    assert.deepEqual(answer.json(), { unpriced: 'meter_tokens_only', theme: { colour: 'blue' }, ...inForce })
    assert.deepEqual((await get('')).json(), answer.json())
    const project = await app.inject({
      url: settings.replace('/settings', ''),
      headers: { authorization: headers.authorization },
    })
    assert.deepEqual(project.json().settings, answer.json())
    for (const wrong of [
      { unpriced: 'free' },
      { on_client_abort: { openai: 'wait' } },
      { path_classes: { assistants: true } },
      { path_classes: { stored: 'yes' } },
      { budget_status: 200 },
      { llm: { openai_api_key: 'sk-x' } },
      { blob: 'x'.repeat(20_000) },
      { theme: ['half \ud83d a pair'] },
      { 'theme\u0000': 1 },
      [],
    ])
      assert.equal((await put('', wrong)).statusCode, 400, JSON.stringify(wrong).slice(0, 60))
  })

  await t.test('a class of paths is opened by name, the others stay off', async () => {
    const answer = await put('', { path_classes: { stored: true } })
    assert.deepEqual(answer.json().path_classes, { stored: true, free: false, batches: false, realtime_calls: false })
  })

  await t.test('what happens to a model without a price is one of three, and denied unless said', async () => {
    for (const unpriced of ['deny', 'assume_max', 'meter_tokens_only'])
      assert.equal((await put('', { unpriced })).json().unpriced, unpriced)
    const answer = await put('', { unpriced: 'free' })
    assert.match(answer.json().error.message, /deny, assume_max, meter_tokens_only/)
  })
  await t.test('every part of the product is found at the one origin', async () => {
    const { domains } = (await app.inject({ url: '/config' })).json()
    assert.equal(domains.api, 'http://127.0.0.1:8080')
    assert.equal(domains.accounts, domains.api)
  })
})
