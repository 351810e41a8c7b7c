import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Key } from '@sluice/contracts'
import { hashCredential, parseApiKey, withinScope } from '@sluice/runtime'
import { closeInReverse, goodToken, sized } from '@sluice/test-env'
import { sql } from 'kysely'
import { digestOf } from '../src/announcement.ts'
import { markKeysUsed, readKeyDocuments } from '../src/api-key-store.ts'
import { repairAnnouncements } from '../src/repair-announcements.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

test('what becomes of keys', async t => {
  const scope = closeInReverse(t)
  let aheadMs = 0
  const { app, db, deps, installation } = await startAccounts(scope, { now: () => Date.now() + aheadMs })
  const { project_id: pid, account_id: accountId } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const stranger = await addAccount(deps)
  const project = `/accounts/projects/${pid}`
  const keys = `${project}/api-keys`
  const call = async (
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    payload?: Record<string, unknown>,
    options: { token?: string; once?: string; from?: string } = {},
  ) => {
    const answer = await app.inject({
      method,
      url,
      headers: {
        authorization: `Bearer ${options.token ?? adminToken}`,
        ...(options.once === undefined ? {} : { 'idempotency-key': options.once }),
      },
      ...(options.from === undefined ? {} : { remoteAddress: options.from }),
      ...(payload && { payload }),
    })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
  const newKey = async (more: Record<string, unknown> = {}): Promise<{ id: string; value: string }> => {
    const { status, body } = await call('POST', keys, { name: 'ci', ...more })
    assert.equal(status, 200, JSON.stringify(body))
    return body
  }
  const works = async (token: string, from?: string) =>
    (await call('GET', '/accounts/whoami', undefined, { token, ...(from === undefined ? {} : { from }) })).status ===
    200
  const validates = async (value: string) => {
    const parts = parseApiKey(value)
    assert.ok(parts)
    const token = goodToken({ ...parts, value })
    return (await call('POST', '/api/participant-token/validate', { token })).status === 200
  }

  await t.test(
    'a token is worth nothing once whoever its key belongs to is disabled, or their project deleted',
    async () => {
      const { body: bot } = await call('POST', `${project}/service-accounts`, { name: 'vouched-for' })
      const { body: botKey } = await call('POST', `${project}/service-accounts/${bot.id}/api-keys`, { name: 'k' })
      assert.ok(await validates(botKey.value))
      assert.ok((await call('DELETE', `${project}/service-accounts/${bot.id}`)).status < 300)
      assert.ok(!(await validates(botKey.value)), 'of a service account')

      const { memberId, token } = await addMember(db, accountId, pid, 'member')
      const own = await newKey({ member_id: memberId, role: 'member' })
      const { body: minted } = await call('POST', `${project}/participant-tokens`, { name: 'me', api: {} }, { token })
      const isValid = async () =>
        (await call('POST', '/api/participant-token/validate', { token: minted.token })).status === 200
      assert.deepEqual([await validates(own.value), await isValid()], [true, true])
      const rights = { account_admin: false, operator: false }
      await call('PUT', `/accounts/members/${memberId}`, { ...rights, disabled: true })
      assert.deepEqual([await validates(own.value), await isValid()], [false, false], 'of somebody who is disabled')
      await call('PUT', `/accounts/members/${memberId}`, { ...rights, disabled: false })
      assert.deepEqual([await validates(own.value), await isValid()], [true, true])
      await call('DELETE', `${project}/users/${memberId}`)
      assert.deepEqual([await validates(own.value), await isValid()], [false, false], 'of somebody who has left')
      await call('POST', `${project}/users`, { user_id: memberId, roles: ['member', 'llm_proxy_user'] })
      assert.deepEqual([await validates(own.value), await isValid()], [false, false], 'nor when they are added again')

      const { body: other } = await call('POST', '/accounts/projects', { name: 'to be deleted' })
      const { body: key } = await call('POST', `/accounts/projects/${other.id}/api-keys`, { name: 'k' })
      assert.ok(await validates(key.value))
      assert.equal((await call('DELETE', `/accounts/projects/${other.id}`)).status, 204)
      assert.ok(!(await validates(key.value)), 'of a project that was deleted')
    },
  )

  await t.test('a key is shown with everything but its value', async () => {
    const made = await newKey({ description: 'for tests', models: ['openai/*'], ip_ranges: ['10.0.0.0/8', '::1'] })
    const { status, body } = await call('GET', `${keys}/${made.id}`)
    assert.equal(status, 200)
    const { created_at, secrets, ...rest } = body
    assert.ok(Date.parse(created_at) <= Date.now())
    assert.deepEqual(rest, {
      id: made.id,
      project_id: pid,
      kind: 'key',
      name: 'ci',
      description: 'for tests',
      role: 'developer',
      team_id: null,
      member_id: null,
      service_account_id: null,
      models: ['openai/*'],
      ip_ranges: ['10.0.0.0/8', '::1'],
      created_by: installation.member_id,
      expires_at: null,
      last_used_at: null,
    })
    assert.deepEqual(Object.keys(secrets[0]), ['id', 'created_at', 'expires_at'])
    const listed = (await call('GET', keys)).body.keys.find((key: { id: string }) => key.id === made.id)
    assert.deepEqual(listed, body)
    for (const id of [stranger.keyId, 'none', '00000000-0000-7000-8000-000000000000'])
      for (const [method, path, payload] of [
        ['GET', id, undefined],
        ['PATCH', id, { name: 'x' }],
        ['POST', `${id}/rotate`, {}],
      ] as const)
        assert.equal((await call(method, `${keys}/${path}`, payload)).status, 404, `${method} ${path}`)
  })

  await t.test('a change keeps what it does not name, and gateways are told', async () => {
    const { id } = await newKey({ description: 'old', models: ['openai/*'] })
    const { body: team } = await call('POST', `${project}/teams`, { name: 'payers' })
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    const wanted = { name: 'new', ip_ranges: ['203.0.113.0/24'], team_id: team.id, expires_at }
    const changed = await call('PATCH', `${keys}/${id}`, wanted)
    assert.equal(changed.status, 200, JSON.stringify(changed.body))
    const shown = (await call('GET', `${keys}/${id}`)).body
    assert.deepEqual(shown, changed.body)
    assert.deepEqual({ ...shown, ...wanted, description: 'old', models: ['openai/*'] }, shown)
    const [document] = await readKeyDocuments(db, [id])
    assert.deepEqual(
      [document?.version, document?.name, document?.ip_ranges, document?.team_id, document?.expires_at_ms],
      [2, 'new', ['203.0.113.0/24'], team.id, Date.parse(expires_at)],
    )
    await call('PATCH', `${keys}/${id}`, { ip_ranges: null, expires_at: null, team_id: null, description: null })
    const [opened] = await readKeyDocuments(db, [id])
    assert.deepEqual([opened?.ip_ranges, opened?.expires_at_ms, opened?.team_id], [undefined, undefined, undefined])
    const [entry] = await db
      .selectFrom('audit_entries')
      .select(['before', 'after'])
      .where('target', '=', id)
      .where('action', '=', 'api-key.changed')
      .orderBy('audit_id')
      .execute()
    assert.equal((entry?.before as { name?: string } | undefined)?.name, 'ci')
    assert.equal((entry?.after as { name?: string } | undefined)?.name, 'new')
    for (const bad of [
      { team_id: 'team_none' },
      { expires_at: '2020-01-01T00:00:00Z' },
      { ip_ranges: ['10.0.0.1/8'] },
      { ip_ranges: ['localhost'] },
      { role: 'admin' },
      { models: ['x'] },
    ])
      assert.equal((await call('PATCH', `${keys}/${id}`, bad)).status, 400, JSON.stringify(bad))
  })

  await t.test('nobody changes or rotates a key that is more than they could make', async () => {
    const { token: manager } = await addMember(db, accountId, pid, 'member', ['key_manager'])
    const admins = await newKey({ role: 'admin' })
    const members = await newKey({ role: 'member' })
    const plain = { token: manager }
    assert.equal((await call('PATCH', `${keys}/${admins.id}`, { name: 'mine' }, plain)).status, 403)
    assert.equal((await call('POST', `${keys}/${admins.id}/rotate`, {}, plain)).status, 403)
    // Who may not call gives no key that may.
    assert.equal((await call('POST', `${keys}/${members.id}/rotate`, {}, plain)).status, 403)

    const narrow = await newKey({ role: 'admin', models: ['openai/*'], ip_ranges: ['127.0.0.0/8'] })
    const by = { token: narrow.value }
    assert.equal((await call('PATCH', `${keys}/${narrow.id}`, { name: 'still' }, by)).status, 200)
    assert.equal((await call('PATCH', `${keys}/${narrow.id}`, { ip_ranges: ['127.0.0.1'] }, by)).status, 200)
    for (const wider of [{ models: null }, { models: ['*'] }, { ip_ranges: null }, { ip_ranges: ['0.0.0.0/0'] }])
      assert.equal((await call('PATCH', `${keys}/${narrow.id}`, wider, by)).status, 403, JSON.stringify(wider))
    assert.equal((await call('POST', keys, { name: 'x', models: ['openai/*'] }, by)).status, 403)
    assert.equal((await call('PATCH', `${keys}/${admins.id}`, { name: 'x' }, by)).status, 403)
    const { token: admin } = await addMember(db, accountId, pid, 'admin')
    // A key with limits gives people nothing.
    assert.equal((await call('POST', `${project}/users`, { email: 'n@example.com', roles: ['admin'] }, by)).status, 403)
    assert.equal((await call('PATCH', `${keys}/${admins.id}`, { name: 'x' }, { token: admin })).status, 200)
  })

  await t.test('a limited key revokes none beyond its limits but itself', async () => {
    const { body: bot } = await call('POST', `${project}/service-accounts`, { name: 'revoked' })
    const botKeys = `${project}/service-accounts/revoked/api-keys`
    const [wide, bots] = [await newKey(), (await call('POST', botKeys, { name: 'ci' })).body]
    const narrow = await newKey({ role: 'admin', models: ['openai/gpt-5-mini'] })
    const within = await newKey({ models: ['openai/gpt-5-mini'] })
    const by = { token: narrow.value }
    const refused = [
      await call('DELETE', `${keys}/${wide.id}`, undefined, by),
      await call('DELETE', `${botKeys}/${bots.id}`, undefined, by),
      await call('POST', `${keys}:revoke`, { msid: wide.id }, by),
      await call('POST', `${keys}:revoke`, { msid: bot.id }, by),
    ]
    assert.deepEqual(
      refused.map(({ status }) => status),
      [403, 403, 403, 403],
    )
    assert.ok((await works(wide.value)) && (await works(bots.value)))
    assert.equal((await call('DELETE', `${keys}/${within.id}`, undefined, by)).status, 204)
    // What leaked ends itself: also of a key that is more than its limits let it make.
    const expires_at = new Date(Date.now() + aheadMs + 60_000).toISOString()
    const brief = await newKey({ role: 'admin', models: ['openai/gpt-5-mini'], expires_at })
    assert.equal((await call('DELETE', `${keys}/${narrow.id}`, undefined, { token: brief.value })).status, 403)
    for (const key of [brief, narrow])
      assert.equal((await call('DELETE', `${keys}/${key.id}`, undefined, { token: key.value })).status, 204)
    assert.equal(await works(narrow.value), false)
  })

  await t.test(
    'who manages keys revokes every key of the project, whatever it may do, and makes or changes none beyond what they hold',
    async () => {
      const { token } = await addMember(db, accountId, pid, 'member', ['key_manager'])
      const by = { token }
      const { memberId } = await addMember(db, accountId, pid, 'developer')
      const callers = [
        await newKey({ role: 'member' }),
        await newKey({ role: 'developer', member_id: memberId }),
        await newKey({ role: 'admin' }),
      ]
      await call('POST', `${project}/service-accounts`, { name: 'leaked' })
      const { body: bots } = await call('POST', `${project}/service-accounts/leaked/api-keys`, { name: 'ci' })
      for (const { id } of callers) {
        assert.equal((await call('PATCH', `${keys}/${id}`, { name: 'mine' }, by)).status, 403)
        assert.equal((await call('POST', `${keys}/${id}/rotate`, {}, by)).status, 403)
      }
      assert.equal((await call('POST', keys, { name: 'x', role: 'member' }, by)).status, 403)
      for (const { id, value } of callers) {
        assert.equal((await call('DELETE', `${keys}/${id}`, undefined, by)).status, 204)
        assert.equal(await works(value), false)
      }
      assert.deepEqual((await call('POST', `${keys}:revoke`, { msid: bots.id }, by)).body, { revoked: [bots.id] })
      // Nor does it take being an admin: a key without limits of its own that may write keys does.
      const [{ value: unlimited }, victim] = [await newKey({ role: 'admin' }), await newKey()]
      assert.equal((await call('DELETE', `${keys}/${victim.id}`, undefined, { token: unlimited })).status, 204)
      const without = await addMember(db, accountId, pid, 'developer')
      assert.equal(
        (await call('DELETE', `${keys}/${(await newKey()).id}`, undefined, { token: without.token })).status,
        403,
      )
      assert.equal((await call('DELETE', `${keys}/${stranger.keyId}`, undefined, by)).status, 404)
    },
  )

  await t.test('a key whose role is not said is a developer’s, or a member’s where its maker is no more', async () => {
    const { token } = await addMember(db, accountId, pid, 'member', ['key_manager', 'llm_proxy_user'])
    const roleOf = async (id: string) => (await call('GET', `${keys}/${id}`)).body.role
    const made = await call('POST', keys, { name: 'ci', description: '' }, { token })
    assert.equal(made.status, 200, JSON.stringify(made.body))
    assert.equal(await roleOf(made.body.id), 'member')
    assert.equal((await call('POST', keys, { name: 'ci', role: 'developer' }, { token })).status, 403)
    assert.equal(await roleOf((await newKey()).id), 'developer')
  })

  await t.test('a rotated key has two secrets until the old one ends, and stays one key', async () => {
    const { id, value: first } = await newKey()
    const rotated = await call('POST', `${keys}/${id}/rotate`, { overlap_seconds: 60 })
    assert.equal(rotated.status, 200, JSON.stringify(rotated.body))
    const second: string = rotated.body.value
    assert.deepEqual([rotated.body.id, parseApiKey(second)?.keyId, rotated.body.secrets.length], [id, id, 2])
    assert.notEqual(second, first)
    for (const value of [first, second]) assert.ok((await works(value)) && (await validates(value)))
    const { body } = await call('GET', `${keys}/${id}`)
    const [newest, former] = body.secrets
    assert.equal(newest.expires_at, null)
    assert.ok(Math.abs(Date.parse(former.expires_at) - Date.now() - 60_000) < 30_000)
    assert.ok(!JSON.stringify(body).includes(parseApiKey(second)?.secret ?? ''))

    // Another rotation ends the oldest at once.
    const { value: third } = (await call('POST', `${keys}/${id}/rotate`, { overlap_seconds: 60 })).body
    const all = async () => Promise.all([first, second, third].map(value => works(value)))
    assert.deepEqual(await all(), [false, true, true])
    aheadMs = 61_000
    assert.deepEqual(await all(), [false, false, true])
    assert.ok(!(await validates(second)))
    aheadMs = 0

    const { value: fourth } = (await call('POST', `${keys}/${id}/rotate`, { overlap_seconds: 0 })).body
    assert.deepEqual([await works(third), await works(fourth)], [false, true])
    assert.equal((await readKeyDocuments(db, [id]))[0]?.secrets.length, 1)

    // Asked twice under one Idempotency-Key, it is rotated once.
    const once = { once: 'rotate-1' }
    const [one, two] = [
      await call('POST', `${keys}/${id}/rotate`, {}, once),
      await call('POST', `${keys}/${id}/rotate`, {}, once),
    ]
    assert.deepEqual(one, two)
    await call('DELETE', `${keys}/${id}`)
    for (const value of [fourth, one.body.value]) assert.ok(!(await works(value)))
  })

  await t.test('a key manages from its addresses alone', async () => {
    const { value } = await newKey({ ip_ranges: ['203.0.113.0/24', '2001:db8::/32'] })
    assert.ok(await works(value, '203.0.113.9'))
    assert.ok(await works(value, '::ffff:203.0.113.9'))
    assert.ok(await works(value, '2001:db8::9'))
    assert.ok(!(await works(value, '203.0.114.9')))
    const answer = await call('GET', '/accounts/whoami', undefined, { token: value })
    assert.deepEqual([answer.status, answer.body.error.code], [403, 'ip_not_allowed'])
    const forged = await app.inject({
      url: '/accounts/whoami',
      headers: { authorization: `Bearer ${value}`, 'x-forwarded-for': '203.0.113.9' },
      remoteAddress: '198.51.100.1',
    })
    assert.equal(forged.statusCode, 403)
    const { value: nowhere } = await newKey({ ip_ranges: [] })
    assert.ok(!(await works(nowhere)))
  })

  await t.test('a foreign key is known by its hash, manages nothing, signs nothing, and is unique', async () => {
    const theirs = `sk-${randomBytes(24).toString('hex')}`
    const foreign_sha256 = createHash('sha256').update(theirs).digest('hex')
    const made = await call('POST', keys, { name: 'moved', foreign_sha256: foreign_sha256.toUpperCase() })
    assert.equal(made.status, 200, JSON.stringify(made.body))
    assert.ok(!('value' in made.body))
    const shown = (await call('GET', `${keys}/${made.body.id}`)).body
    assert.deepEqual([shown.kind, shown.role], ['foreign', 'member'])
    const [document] = await readKeyDocuments(db, [made.body.id])
    assert.deepEqual(
      document?.secrets.map(({ secret_id: _, ...secret }) => secret),
      [{ hash: foreign_sha256 }],
    )
    assert.ok(!(await works(theirs)))
    // One that has the shape of our own manages nothing either.
    const elsewhere = `ma-Ej5FZ.ibEtOkVkJmFBdAAA-Dx4tPEtaaXiQq83vEjRWeA-${randomBytes(24).toString('hex')}`
    await call('POST', keys, { name: 'x', foreign_sha256: hashCredential(elsewhere) })
    assert.ok(!(await works(elsewhere)))
    for (const secret of ['', foreign_sha256, theirs])
      assert.equal(
        (
          await call('POST', '/api/participant-token/validate', {
            token: goodToken({ keyId: made.body.id, projectId: pid, secret, value: theirs }),
          })
        ).status,
        400,
      )
    const again = await call('POST', keys, { name: 'again', foreign_sha256 })
    assert.deepEqual([again.status, again.body.error.code], [409, 'already_exists'])
    const own = await newKey()
    const ours = { name: 'ours', foreign_sha256: hashCredential(own.value) }
    assert.equal((await call('POST', keys, ours)).status, 409)
    const strangers = `/accounts/projects/${stranger.projectId}/api-keys`
    assert.equal((await call('POST', strangers, ours, { token: stranger.apiKey })).status, 409)
    assert.ok(await works(own.value))
    assert.equal((await call('POST', `${keys}/${made.body.id}/rotate`, {})).status, 409)
    assert.equal((await call('DELETE', `${keys}/${made.body.id}`)).status, 204)
    for (const bad of [
      { foreign_sha256: 'x' },
      { foreign_sha256: foreign_sha256.slice(1) },
      { foreign_sha256: null },
      { foreign_sha256, role: 'admin' },
    ])
      assert.equal((await call('POST', keys, { name: 'x', ...bad })).status, 400, JSON.stringify(bad))
  })

  await t.test(
    'of the times a key was used the latest counts, whoever tells it how often, and none in the future',
    async () => {
      const { id } = await newKey()
      const lastUsed = async () => Date.parse((await call('GET', `${keys}/${id}`)).body.last_used_at)
      const nowMs = Date.now()
      const told = (...times: number[]) =>
        markKeysUsed(
          db,
          [
            ...times.map(at_ms => ({ key_id: id, at_ms })),
            { key_id: '00000000-0000-7000-8000-000000000000', at_ms: 1 },
          ],
          nowMs,
        )
      await told(5_000)
      assert.equal(await lastUsed(), 5_000)
      await Promise.all([told(9_000), told(7_000), told(9_000)])
      await told(8_000)
      assert.equal(await lastUsed(), 9_000)
      await told(nowMs + 60_000)
      assert.equal(await lastUsed(), nowMs)
      assert.equal((await readKeyDocuments(db, [id]))[0]?.version, 1, 'gateways are not told what they have told')
    },
  )

  await t.test(
    'a repair announces each of a project’s keys that its bucket lacks or holds otherwise, and holds the project for a page of them at a time',
    async () => {
      const projectId = stranger.projectId
      // More than a page.
      const count = sized({ small: 1_050, full: 2_500 })
      await sql`insert into api_keys (key_id, project_id, version, name, description, role, kind, created_by)
      select gen_random_uuid(), ${projectId}, 1, 'many', '', 'developer', 'key', 'test' from generate_series(1, ${count}::int)`.execute(
        db,
      )
      await sql`insert into api_key_secrets (secret_id, key_id, hash)
      select 'sec_' || n || key_id, key_id, md5(n || key_id::text) from api_keys, generate_series(1, 2) n
      where name = 'many'`.execute(db)
      const held = new Map<string, Map<string, string>>()
      /** What a repair announces, put into the buckets. */
      const repair = async () => {
        await sql`delete from outbox`.execute(db)
        await withinScope({ system: true }, () =>
          repairAnnouncements({
            db: deps.db,
            now: Date.now,
            readDigests: async bucket => new Map(held.get(bucket)),
            flush: async () => undefined,
          }),
        )
        const { rows } = await sql<{ transaction: string; target: string; key: string; payload: string }>`
          select xmin::text as transaction, target, key, payload from outbox order by id`.execute(db)
        for (const { target, key, payload } of rows)
          held.set(target, (held.get(target) ?? new Map()).set(key, digestOf(payload)))
        return rows
      }
      const rows = (await repair()).filter(({ target }) => target === 'keys')
      const documents = rows
        .map(row => ({ ...row, document: Key.decode(row.payload) }))
        .filter(({ document }) => document.name === 'many')
      assert.equal(new Set(documents.map(({ key }) => key)).size, count)
      for (const { key, document } of documents)
        assert.deepEqual(
          document.secrets.map(secret => secret.hash),
          [2, 1].map(n => createHash('md5').update(`${n}${key}`).digest('hex')),
        )
      for (const [transaction, page] of Map.groupBy(rows, row => row.transaction))
        assert.ok(page.length <= 1_000, `transaction ${transaction} announces ${page.length} keys`)

      assert.deepEqual(await repair(), [])
      const [lost = '', other = ''] = documents.map(({ key }) => key)
      held.get('keys')?.delete(lost)
      held.get('keys')?.set(other, digestOf('{}'))
      assert.deepEqual((await repair()).map(({ key }) => key).sort(), [lost, other].sort())
    },
  )

  await t.test('a service account has keys at its own path, and those of an owner are revoked together', async () => {
    const { body: bot } = await call('POST', `${project}/service-accounts`, { name: 'bot' })
    const own = `${project}/service-accounts/bot/api-keys`
    const made = await call('POST', own, { name: 'ci', description: null })
    assert.deepEqual(Object.keys(made.body), ['id', 'name', 'description', 'value'])
    assert.ok(await works(made.body.value))
    const other = await newKey()
    const { body: listed } = await call('GET', own)
    assert.deepEqual(
      listed.keys.map((key: { id: string; service_account_id: string }) => [key.id, key.service_account_id]),
      [[made.body.id, bot.id]],
    )
    assert.equal((await call('POST', own, { name: 'x', member_id: installation.member_id })).status, 400)
    assert.equal((await call('DELETE', `${own}/${other.id}`)).status, 404)
    assert.equal((await call('DELETE', `${own}/${made.body.id}`)).status, 204)
    assert.equal((await call('DELETE', `${own}/${made.body.id}`)).status, 404)
    for (const method of ['GET', 'POST'] as const)
      assert.equal(
        (await call(method, `${project}/service-accounts/none/api-keys`, method === 'POST' ? { name: 'x' } : undefined))
          .status,
        404,
      )

    const two = [await call('POST', own, { name: 'a' }), await call('POST', own, { name: 'b' })].map(({ body }) => body)
    const { memberId } = await addMember(db, accountId, pid, 'developer')
    const members = await newKey({ member_id: memberId })
    const revoke = (msid: string) => call('POST', `${keys}:revoke`, { msid })
    assert.deepEqual((await revoke(bot.id)).body, { revoked: two.map(key => key.id) })
    assert.deepEqual((await revoke(bot.id)).body, { revoked: [] })
    assert.deepEqual((await revoke(memberId)).body, { revoked: [members.id] })
    assert.deepEqual((await revoke(other.id)).body, { revoked: [other.id] })
    assert.deepEqual((await revoke(stranger.keyId)).body, { revoked: [] })
    for (const { value } of [...two, members, other]) assert.ok(!(await works(value)))
    assert.ok(await works(stranger.apiKey))
    // One that is disabled has none any more, and gets none.
    await call('DELETE', `${project}/service-accounts/bot`)
    assert.equal((await call('POST', own, { name: 'x' })).status, 404)
  })

  await t.test('for who asks, and for what a key may do, a plan is made once on a connection', async () => {
    const { id } = await newKey()
    for (let time = 1; time <= 10; time++) {
      assert.equal((await call('GET', keys)).status, 200)
      await readKeyDocuments(deps.db, [id])
    }
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from pg_prepared_statements
      where generic_plans > 0`.execute(deps.db)
    assert.deepEqual(rows, [{ n: 2 }])
  })
})
