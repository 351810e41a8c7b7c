import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeInReverse } from '@sluice/test-env'
import { readKeyDocuments } from '../src/api-key-store.ts'
import { createApiKey } from '../src/create-api-key.ts'
import { sweep } from '../src/sweep.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

test('programs that own keys, and things that are made once', async t => {
  const scope = closeInReverse(t)
  let aheadMs = 0
  const { app, db, deps, installation } = await startAccounts(scope, { now: () => Date.now() + aheadMs })
  const { project_id: pid, account_id: accountId } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const stranger = await addAccount(deps)
  const project = `/accounts/projects/${pid}`
  const accounts = `${project}/service-accounts`
  type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
  const call = async (
    method: Method,
    url: string,
    payload?: Record<string, unknown>,
    options: { token?: string; once?: string } = {},
  ) => {
    const headers = {
      authorization: `Bearer ${options.token ?? adminToken}`,
      ...(options.once === undefined ? {} : { 'idempotency-key': options.once }),
    }
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
  /** A key of a service account, as its own routes will make it. */
  const keyOf = (serviceAccountId: string, teamId: string | null = null) =>
    deps.changes.make({ kind: 'operator', id: 'test', accountId }, change =>
      createApiKey(change, deps.box, {
        projectId: pid,
        teamId,
        memberId: null,
        serviceAccountId,
        name: 'ci',
        description: '',
        role: 'developer',
        models: null,
        ipRanges: null,
        expiresAt: null,
        createdBy: installation.member_id,
      }),
    )

  await t.test('a service account is found by its id and its name, and its keys follow it', async () => {
    const { body: team } = await call('POST', `${project}/teams`, { name: 'builders' })
    const made = await call('POST', accounts, {
      name: 'deploy-bot',
      description: 'deploys',
      metadata: { env: 'ci' },
      annotations: { owner: 'platform' },
    })
    assert.equal(made.status, 200, JSON.stringify(made.body))
    const { id } = made.body
    assert.deepEqual([made.body.key, made.body.project_id, made.body.metadata], ['deploy-bot', pid, { env: 'ci' }])
    assert.deepEqual((await call('GET', `${accounts}/${id}`)).body, made.body)
    assert.deepEqual((await call('GET', `${accounts}/Deploy-Bot`)).body, made.body)
    assert.equal((await call('POST', accounts, { name: 'DEPLOY-BOT' })).status, 409)

    const { keyId, value } = await keyOf(id)
    const document = async () => (await readKeyDocuments(db, [keyId]))[0]
    assert.deepEqual([(await document())?.service_account_id, (await document())?.team_id], [id, undefined])
    const changed = await call('PUT', `${accounts}/deploy-bot`, { name: 'renamed', team_id: team.id })
    assert.deepEqual([changed.body.name, changed.body.description], ['renamed', ''])
    assert.equal((await document())?.team_id, team.id)
    const inUse = await call('DELETE', `${project}/teams/${team.id}`)
    assert.equal(inUse.body.error.code, 'team_in_use')

    assert.equal((await call('GET', '/accounts/whoami', undefined, { token: value })).status, 200)
    assert.equal((await call('DELETE', `${accounts}/renamed`)).status, 204)
    assert.deepEqual((await document())?.permissions, [])
    assert.equal((await call('GET', '/accounts/whoami', undefined, { token: value })).status, 401)
    assert.equal((await call('DELETE', `${accounts}/${id}`)).status, 404)
    assert.equal((await call('PUT', `${accounts}/${id}`, { name: 'again' })).status, 404)
    assert.equal((await call('GET', `${accounts}/renamed`)).status, 404)
    assert.equal(typeof (await call('GET', `${accounts}/${id}`)).body.disabled_at, 'string')
    await assert.rejects(keyOf(id), { statusCode: 404 })
    assert.equal((await call('POST', accounts, { name: 'renamed' })).status, 200)
    assert.equal((await call('DELETE', `${project}/teams/${team.id}`)).status, 204)
  })

  await t.test('lists come in pages, without those that are disabled unless they are asked for', async () => {
    for (let index = 0; index < 3; index++) await call('POST', accounts, { name: `page-${index}` })
    const first = (await call('GET', `${accounts}?filter=page-&page_size=2`)).body
    const second = (
      await call('GET', `${accounts}?filter=page-&page_size=2&continuation_token=${first.continuation_token}`)
    ).body
    const names = [first, second].flatMap(page =>
      page.service_accounts.map((account: { name: string }) => account.name),
    )
    assert.deepEqual([names, second.continuation_token], [['page-0', 'page-1', 'page-2'], null])
    await call('DELETE', `${accounts}/page-1`)
    assert.equal((await call('GET', `${accounts}?filter=page-`)).body.service_accounts.length, 2)
    assert.equal((await call('GET', `${accounts}?filter=page-&disabled=true`)).body.service_accounts.length, 3)
  })

  await t.test('what a request may not hold is named', async () => {
    for (const body of [
      {},
      { name: 'sa_0190' },
      { name: 'two words' },
      { name: '-x' },
      { name: 'x', team_id: 'team_none' },
      { name: 'x', metadata: { 'a b': 'c' } },
      { name: 'x', roles: [] },
    ])
      assert.equal((await call('POST', accounts, body)).status, 400, JSON.stringify(body))
  })

  await t.test('those of another project are none here', async () => {
    const theirs = `/accounts/projects/${stranger.projectId}`
    const { body } = await call('POST', `${theirs}/service-accounts`, { name: 'theirs' }, { token: stranger.apiKey })
    const { body: team } = await call('POST', `${theirs}/teams`, { name: 'theirs' }, { token: stranger.apiKey })
    for (const name of [body.id, 'theirs'])
      for (const method of ['GET', 'PUT', 'DELETE'] as const)
        assert.equal(
          (await call(method, `${accounts}/${name}`, method === 'PUT' ? { name: 'mine' } : undefined)).status,
          404,
        )
    await assert.rejects(keyOf(body.id), { statusCode: 404 })
    assert.equal((await call('POST', accounts, { name: 'x', team_id: team.id })).status, 400)
  })

  await t.test(
    'the same creation under one Idempotency-Key is made once, and shows the same secret again',
    async () => {
      const before = (await call('GET', `${project}/api-keys?page_size=500`)).body.keys.length
      const [first, ...others] = await Promise.all(
        Array.from({ length: 4 }, () => call('POST', `${project}/api-keys`, { name: 'once' }, { once: 'k-1' })),
      )
      assert.equal(first?.status, 200)
      for (const other of others) assert.deepEqual(other, first)
      assert.equal((await call('GET', `${project}/api-keys?page_size=500`)).body.keys.length, before + 1)
      const kept = JSON.stringify(await db.selectFrom('kept_answers').selectAll().execute())
      assert.ok(!kept.includes(first.body.value))

      const other = await call('POST', `${project}/api-keys`, { name: 'twice' }, { once: 'k-1' })
      assert.deepEqual([other.status, other.body.error.code], [409, 'idempotency_key_reused'])
      const elsewhere = await call('POST', `${project}/teams`, { name: 'once' }, { once: 'k-1' })
      assert.equal(elsewhere.status, 409)
      assert.equal((await call('POST', `${project}/teams`, { name: 'x' }, { once: 'a b' })).status, 400)
    },
  )

  await t.test('a key of the same name is another caller’s own', async () => {
    const { token } = await addMember(db, accountId, pid, 'admin')
    const mine = await call('POST', `${project}/teams`, { name: 'mine' }, { once: 'k-2' })
    const theirs = await call('POST', `${project}/teams`, { name: 'theirs' }, { once: 'k-2', token })
    assert.deepEqual([mine.body.name, theirs.body.name], ['mine', 'theirs'])
  })

  await t.test('a creation that failed may be sent again under its key, and one is forgotten after a day', async () => {
    const { body: taken } = await call('POST', `${project}/teams`, { name: 'taken' })
    assert.equal((await call('POST', `${project}/teams`, { name: 'Taken' }, { once: 'k-3' })).status, 409)
    await call('PUT', `${project}/teams/${taken.id}`, { name: 'free' })
    const made = await call('POST', `${project}/teams`, { name: 'Taken' }, { once: 'k-3' })
    assert.equal(made.status, 200)
    for (const [path, body] of [
      ['/accounts/projects', { name: 'once' }],
      [accounts, { name: 'once' }],
      [`${project}/users`, { email: 'once@example.com' }],
      [`${project}/teams/${made.body.id}/cost-centres`, { cost_centre: 'A' }],
    ] as const) {
      const first = await call('POST', path, body, { once: `k-4 ${path}`.replaceAll(' ', '') })
      assert.equal(first.status, 200, JSON.stringify(first.body))
      assert.deepEqual(await call('POST', path, body, { once: `k-4 ${path}`.replaceAll(' ', '') }), first, path)
    }
    aheadMs = 25 * 60 * 60_000
    await sweep(deps.changes)
    assert.deepEqual(await db.selectFrom('kept_answers').selectAll().execute(), [])
    assert.equal((await call('POST', `${project}/teams`, { name: 'Taken' }, { once: 'k-3' })).status, 409)
    aheadMs = 0
  })
})
