import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseApiKey } from '@sluice/runtime'
import { closeInReverse } from '@sluice/test-env'
import { sql } from 'kysely'
import { adminPassword, masterKey, signInAs, startAccounts } from './start-accounts.ts'

const canary = (name: string) => `canary-${name}-5f0c1e7d9ab3`

test('secrets are in no log, audit entry, announcement or table, on good paths and bad ones', async t => {
  const { app, db, deps, installation, lines } = await startAccounts(closeInReverse(t))
  const adminToken = await signInAs(db, installation.member_id)
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' }
  const project = `/accounts/projects/${installation.project_id}`
  const send = (method: 'POST' | 'PUT', url: string, body: unknown) =>
    app.inject({ method, url, headers, payload: typeof body === 'string' ? body : JSON.stringify(body) })

  const credential = canary('credential')
  const { value } = (await send('POST', `${project}/api-keys`, { name: 'ci' })).json()
  const secret = parseApiKey(value)?.secret
  assert.ok(secret)
  await send('PUT', `${project}/settings/openai`, { api_key: credential })
  await send('PUT', `${project}/settings/openai`, { api_key: credential, base_url: 'http://10.0.0.1' })
  await send('PUT', `${project}/settings/openai`, { api_key: `${credential}\n` })
  await send('PUT', `${project}/settings/openai`, `{"api_key": "${credential}`)
  await send('PUT', `${project}/settings/otel`, { endpoint: 'https://otel.example.com', bearer: canary('bearer-otel') })
  await send('PUT', `${project}/settings/otel`, { endpoint: 'x', headers: { 'x-key': canary('header-otel') } })
  await send('PUT', `${project}/settings/otel`, {
    endpoint: 'https://otel.example.com',
    headers: { 'x-key': canary('header-otel') },
  })
  await send('PUT', `${project}/settings/anthropic`, { base_url: `https://user:${canary('userinfo')}@api.example.com` })
  await send('PUT', `${project}/settings`, { openai: { api_key: canary('settings') } })
  await send('POST', '/accounts/sign-in', { email: 'admin@example.com', password: canary('wrong-password') })
  const signIn = await send('POST', '/accounts/sign-in', { email: 'admin@example.com', password: adminPassword })
  await send('POST', '/api/participant-token/validate', { token: canary('token') })
  await app.inject({ url: '/accounts/whoami', headers: { authorization: `Bearer ${canary('bearer')}` } })
  // An error that nobody foresaw, with secrets in the request that met it.
  const broken = { ...deps.changes, make: () => Promise.reject(new Error('broken')) }
  const { buildApp } = await import('../src/app.ts')
  const failing = buildApp({ ...deps, changes: broken })
  t.after(() => failing.close())
  const failed = await failing.inject({
    method: 'PUT',
    url: `${project}/settings/openai`,
    headers,
    payload: JSON.stringify({ api_key: credential }),
  })
  assert.equal(failed.statusCode, 500)
  assert.ok(!failed.body.includes('broken'))

  const secrets = {
    credential,
    secret,
    value,
    masterKey,
    adminPassword,
    adminToken,
    apiKey: installation.api_key,
    session: signIn.json().access_token as string,
    otelBearer: canary('bearer-otel'),
    otelHeader: canary('header-otel'),
    userinfo: canary('userinfo'),
    settings: canary('settings'),
    wrongPassword: canary('wrong-password'),
    token: canary('token'),
    bearer: canary('bearer'),
  }
  const names = await sql<{ name: string }>`select table_name as name from information_schema.tables
    where table_schema = 'accounts'`.execute(db)
  const places: Record<string, string> = { log: lines.join('\n') }
  for (const { name } of names.rows) {
    const { rows } = await sql`select * from ${sql.table(name)}`.execute(db)
    places[name] = JSON.stringify(rows)
  }
  assert.match(places.log ?? '', /broken/)
  assert.match(places.audit_entries ?? '', /integration\.created/)
  assert.match(places.outbox ?? '', /kv-put/)
  for (const [place, text] of Object.entries(places))
    for (const [name, found] of Object.entries(secrets)) assert.ok(!text.includes(found), `${name} is in ${place}`)
})

test('the audit trail says who did what to what, and cannot be rewritten', async t => {
  const { app, db, installation } = await startAccounts(closeInReverse(t))
  const headers = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }
  const url = `/accounts/projects/${installation.project_id}/settings/router`
  await app.inject({
    method: 'PUT',
    url,
    headers,
    payload: { allowedModels: [{ provider: 'openai', model: 'gpt-5' }] },
  })
  const entry = await db.selectFrom('audit_entries').selectAll().orderBy('audit_id', 'desc').executeTakeFirstOrThrow()
  const { at, audit_id, number, hash, prev_hash, ...said } = entry
  assert.ok(at && audit_id && number && hash && prev_hash)
  assert.deepEqual(said, {
    account_id: installation.account_id,
    project_id: installation.project_id,
    actor_kind: 'member',
    actor_id: installation.member_id,
    from_address: '127.0.0.1',
    user_agent: 'lightMyRequest',
    action: 'allowed-models.changed',
    target: installation.project_id,
    before: null,
    after: ['openai/gpt-5'],
    entry_id: null,
  })
  await assert.rejects(db.deleteFrom('audit_entries').execute(), /never changed/)
  await assert.rejects(db.updateTable('audit_entries').set({ action: 'x' }).execute(), /never changed/)
})
