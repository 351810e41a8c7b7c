import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeInReverse } from '@sluice/test-env'
import { readProjectDocument } from '../src/project-store.ts'
import { addMember, signInAs, startAccounts } from './start-accounts.ts'

test('integrations of a project', async t => {
  const { app, db, installation } = await startAccounts(closeInReverse(t))
  const { project_id: pid, account_id: accountId, team_id: teamId } = installation
  const asAdmin = { authorization: `Bearer ${await signInAs(db, installation.member_id)}` }
  const projectAdmin = await addMember(db, accountId, pid, 'admin')
  const asProjectAdmin = { authorization: `Bearer ${projectAdmin.token}` }
  const url = `/accounts/projects/${pid}/integrations`
  const post = (payload: object, headers: object = asAdmin) =>
    app.inject({ method: 'POST', url, headers: { ...headers }, payload })
  const put = (id: string, payload: object, headers: object = asAdmin) =>
    app.inject({ method: 'PUT', url: `${url}/${id}`, headers: { ...headers }, payload })
  const openai = { provider: 'openai', api_key: 'sk-0123456789abcdef' }

  await t.test('one is made, shown with its secrets masked, replaced and deleted', async () => {
    const full = {
      ...openai,
      name: 'Main',
      base_url: 'https://api.example.com/v1/',
      headers: { 'helicone-auth': 'Bearer secret-value', 'api-key': 'second-secret' },
      organization: 'org-1',
      project: 'proj_1',
    }
    const answer = await post(full)
    const { id, created_at, updated_at, ...shown } = answer.json()
    assert.deepEqual(shown, {
      name: 'Main',
      provider: 'openai',
      base_url: 'https://api.example.com/v1',
      api_key: '****cdef',
      api_key_from: null,
      headers: { 'helicone-auth': '****', 'api-key': '****' },
      organization: 'org-1',
      project: 'proj_1',
      team_id: null,
      standby: false,
    })
    assert.ok(created_at && updated_at)
    const stored = JSON.stringify(await db.selectFrom('integrations').selectAll().execute())
    const trail = JSON.stringify(await db.selectFrom('audit_entries').selectAll().where('target', '=', id).execute())
    for (const secret of ['secret-value', 'second-secret', openai.api_key])
      assert.ok(![answer.body, stored, trail].some(text => text.includes(secret)), secret)
    const read = await app.inject({ url: `${url}/${id}`, headers: asAdmin })
    assert.deepEqual(read.json(), answer.json())
    const renamed = (await put(id, { ...shown, name: 'Renamed' })).json()
    assert.deepEqual([renamed.name, renamed.api_key, renamed.headers], ['Renamed', '****cdef', shown.headers])
    assert.equal((await put(id, { ...shown, provider: 'anthropic' })).statusCode, 400)
    const deleted = await app.inject({ method: 'DELETE', url: `${url}/${id}`, headers: asAdmin })
    assert.equal(deleted.statusCode, 204)
    assert.equal((await app.inject({ url: `${url}/${id}`, headers: asAdmin })).statusCode, 404)
  })

  await t.test(
    'of one provider one is in use for everybody and one for each team, and any number on standby',
    async () => {
      const mine = await post({ ...openai, name: 'everybody' })
      const teams = await post({ ...openai, name: 'teams', team_id: teamId })
      const standby = await post({ ...openai, name: 'spare', standby: true })
      const other = await post({ provider: 'anthropic', api_key: 'sk-ant-0123456789', name: 'everybody' })
      for (const answer of [mine, teams, standby, other]) assert.equal(answer.statusCode, 200, answer.body)
      for (const [more, code] of [
        [{ name: 'second' }, 'integration_in_use'],
        [{ name: 'second', team_id: teamId }, 'integration_in_use'],
        [{ name: 'SPARE', standby: true }, 'already_exists'],
      ] as const) {
        const answer = await post({ ...openai, ...more })
        assert.deepEqual([answer.statusCode, answer.json().error.code], [409, code])
      }
      assert.equal((await put(standby.json().id, { ...openai, name: 'spare' })).json().error.code, 'integration_in_use')
      assert.equal((await post({ ...openai, name: 'x', team_id: 'team_none' })).statusCode, 400)

      const { integrations } = await readProjectDocument(db, pid)
      assert.deepEqual(
        integrations.map(({ name, dialect, team_id, standby: isSpare }) => [name, dialect, team_id, isSpare]),
        [
          ['everybody', 'openai', undefined, undefined],
          ['teams', 'openai', teamId, undefined],
          ['spare', 'openai', undefined, true],
          ['everybody', 'anthropic', undefined, undefined],
        ],
      )
      // Older clients see and set the one that everybody's calls go by.
      const settings = `/accounts/projects/${pid}/settings/openai`
      assert.equal((await app.inject({ url: settings, headers: asAdmin })).json().api_key, '****cdef')
      await app.inject({
        method: 'PUT',
        url: settings,
        headers: asAdmin,
        payload: { api_key: 'sk-other-0123456789xyz' },
      })
      const listed: { name: string; api_key: string; provider: string }[] = (
        await app.inject({ url, headers: asAdmin })
      ).json().integrations
      assert.deepEqual(
        listed.filter(({ provider }) => provider === 'openai').map(({ name, api_key }) => [name, api_key]),
        [
          ['everybody', '****9xyz'],
          ['teams', '****cdef'],
          ['spare', '****cdef'],
        ],
      )
      const pages: string[] = []
      let continuation_token = ''
      do {
        const query = `page_size=3${continuation_token && `&continuation_token=${continuation_token}`}`
        const page = (await app.inject({ url: `${url}?${query}`, headers: asAdmin })).json()
        pages.push(...page.integrations.map(({ name }: { name: string }) => name))
        continuation_token = page.continuation_token ?? ''
      } while (continuation_token !== '')
      assert.equal(pages.length, 4)
    },
  )

  await t.test('where a credential stands with the gateways is said and changed by operators alone', async () => {
    const fromEnvironment = {
      provider: 'openai',
      name: 'from env',
      standby: true,
      api_key_from: { env: 'GATEWAY_CREDENTIAL_A' },
    }
    assert.equal((await post(fromEnvironment, asProjectAdmin)).statusCode, 403)
    const { id, api_key, api_key_from } = (await post(fromEnvironment)).json()
    assert.deepEqual([api_key, api_key_from], [null, { env: 'GATEWAY_CREDENTIAL_A' }])
    const moved = { ...fromEnvironment, base_url: 'https://evil.example/v1' }
    assert.equal((await put(id, moved, asProjectAdmin)).statusCode, 403)
    assert.equal((await put(id, { ...moved, api_key_from: null, api_key: 'x' }, asProjectAdmin)).statusCode, 403)
    const file = { ...fromEnvironment, name: 'from file', api_key_from: { file: 'openai-key' } }
    assert.equal((await post(file)).statusCode, 200)
    for (const api_key_from of [
      { env: 'SLUICE_MASTER_KEY' },
      { env: 'PATH' },
      { env: 'GATEWAY_CREDENTIAL_' },
      { file: '../secret' },
      { file: '/etc/passwd' },
      { file: '..' },
      { file: '.hidden' },
      { file: 'a/b' },
      { env: 'GATEWAY_CREDENTIAL_A', file: 'a' },
      {},
    ])
      assert.equal((await post({ ...file, name: 'x', api_key_from })).statusCode, 400, JSON.stringify(api_key_from))
  })

  await t.test('headers that hops, providers or this proxy set are none to be set', async () => {
    for (const headers of [
      { host: 'evil.example' },
      { authorization: 'Bearer x' },
      { 'x-api-key': 'x' },
      { 'content-length': '1' },
      { 'transfer-encoding': 'chunked' },
      { 'proxy-authorization': 'x' },
      { 'sluice-team': 'x' },
      { 'X-Upper': 'x' },
      { 'x-a': 'line\r\nbreak: x' },
      { 'x-a': ' ' },
      { 'x a': 'x' },
      { '': 'x' },
      Object.fromEntries([...Array(17).keys()].map(n => [`x-${n}`, 'x'])),
    ]) {
      const answer = await post({ ...openai, name: 'headers', standby: true, headers })
      assert.equal(answer.statusCode, 400, JSON.stringify(headers))
    }
  })

  await t.test('a test without a gateway says so', async () => {
    const { integrations } = (await app.inject({ url, headers: asAdmin })).json()
    const path = `${url}/${integrations[0].id}/test`
    const answer = await app.inject({ method: 'POST', url: path, headers: asAdmin })
    assert.deepEqual([answer.statusCode, answer.json().error.code], [503, 'test_unavailable'])
    const none = await app.inject({ method: 'POST', url: `${url}/int_none/test`, headers: asAdmin })
    assert.equal(none.statusCode, 404)
  })
})
