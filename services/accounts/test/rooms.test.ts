import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import type * as MeshagentClient from '@meshagent/meshagent'
import { parseApiKey } from '@sluice/runtime'
import { closeInReverse, goodToken } from '@sluice/test-env'
import { readKeyDocuments } from '../src/api-key-store.ts'
import { readRoomDocuments } from '../src/room-store.ts'
import { addAccount, addMember, signInAs, startAccounts } from './start-accounts.ts'

// Required, since the package's build for import does not load under Node.
const { ApiScope, Meshagent }: typeof MeshagentClient = createRequire(import.meta.url)('@meshagent/meshagent')

test('rooms, and tokens that the server mints', async t => {
  const scope = closeInReverse(t)
  const { app, db, deps, installation } = await startAccounts(scope)
  const { project_id: pid, account_id: accountId } = installation
  const adminToken = await signInAs(db, installation.member_id)
  const member = await addMember(db, accountId, pid, 'member')
  const guest = await addMember(db, accountId, pid, 'member', [])
  const stranger = await addAccount(deps)
  const project = `/accounts/projects/${pid}`
  const rooms = `${project}/rooms`
  const mints = `${project}/participant-tokens`
  const call = async (
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    payload?: Record<string, unknown>,
    token = adminToken,
  ) => {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
  }
  const validate = async (token: string) => {
    const { status, body } = await call('POST', '/api/participant-token/validate', { token })
    return status === 200 ? body : undefined
  }
  const mint = async (body: Record<string, unknown>, token = adminToken) => {
    const answer = await call('POST', mints, { name: 'bot', ...body }, token)
    return { ...answer, claims: answer.status === 200 ? await validate(answer.body.token) : undefined }
  }
  const newKey = async (more: Record<string, unknown> = {}): Promise<{ id: string; value: string }> =>
    (await call('POST', `${project}/api-keys`, { name: 'ci', ...more })).body

  await t.test('a room is made, changed, closed and opened again, and gateways are told each time', async () => {
    const made = await call('POST', rooms, { name: 'lobby', metadata: { topic: 'x' } })
    assert.equal(made.status, 200, JSON.stringify(made.body))
    const { created_at: _, ...rest } = made.body
    assert.deepEqual(rest, {
      id: 'lobby',
      name: 'lobby',
      project_id: pid,
      access: 'open',
      metadata: { topic: 'x' },
      annotations: {},
      created_by: installation.member_id,
    })
    assert.equal((await call('POST', rooms, { name: 'lobby' })).status, 409)
    assert.deepEqual((await call('POST', rooms, { name: 'lobby', if_not_exists: true })).body, made.body)
    const changed = await call('PUT', `${rooms}/lobby`, { name: 'lobby', access: 'members' })
    assert.deepEqual(changed.body, { ...made.body, access: 'members' })
    const documents = () => readRoomDocuments(db, pid, { rooms: ['lobby'] })
    assert.deepEqual(await documents(), [{ project_id: pid, room: 'lobby', version: 2, closed: false, member_ids: [] }])
    assert.equal((await call('DELETE', `${rooms}/lobby`)).status, 204)
    for (const method of ['GET', 'DELETE'] as const) assert.equal((await call(method, `${rooms}/lobby`)).status, 404)
    assert.equal((await documents())[0]?.closed, true)
    assert.equal((await call('POST', rooms, { name: 'lobby' })).status, 200)
    assert.deepEqual(await documents(), [{ project_id: pid, room: 'lobby', version: 4, closed: false }])
    for (const name of ['Lobby', '-lobby', 'lobby-', 'a_b', 'a'.repeat(64), '', 'a.b'])
      assert.equal((await call('POST', rooms, { name })).status, 400, name)
    assert.equal((await call('GET', `${rooms}/Lobby`)).status, 404)
  })

  await t.test('a room with members is seen and entered by them, and by nobody else', async () => {
    await call('POST', rooms, { name: 'board', access: 'members' })
    const people = [member.token, guest.token]
    const seen = async () =>
      Promise.all(
        people.map(async token => {
          const listed = (await call('GET', rooms, undefined, token)).body.rooms.map(
            ({ name }: { name: string }) => name,
          )
          const one = (await call('GET', `${rooms}/board`, undefined, token)).status
          const entered = (await call('POST', `${rooms}/board/connect`, {}, token)).status
          return [listed.includes('board'), one, entered]
        }),
      )
    const [sees, none] = [
      [true, 200, 200],
      [false, 404, 404],
    ]
    assert.deepEqual(await seen(), [none, none])
    const members = `${rooms}/board/members`
    assert.equal((await call('PUT', `${members}/${member.memberId}`)).status, 204)
    assert.equal((await call('PUT', `${members}/${member.memberId}`)).status, 204)
    assert.deepEqual(await seen(), [sees, none])
    assert.deepEqual(
      (await call('GET', members)).body.members.map(({ member_id }: { member_id: string }) => member_id),
      [member.memberId],
    )
    assert.equal((await call('PUT', `${members}/${stranger.memberId}`)).status, 400)
    assert.equal((await call('DELETE', `${members}/${guest.memberId}`)).status, 404)
    assert.equal((await call('DELETE', `${members}/${member.memberId}`)).status, 204)
    assert.deepEqual(await seen(), [none, none])
    assert.equal((await call('GET', `${rooms}/board`, undefined, stranger.apiKey)).status, 404)
  })

  await t.test('a room under another name is closed under its own, with all that is in it moved', async () => {
    const notes = { topic: { deep: [1, null, 'x'] } }
    await call('POST', rooms, { name: 'studio', access: 'members', metadata: notes })
    await call('POST', rooms, { name: 'taken' })
    await call('PUT', `${rooms}/studio/members/${member.memberId}`, { permissions: { llm: { models: ['openai/*'] } } })
    assert.equal((await call('PUT', `${rooms}/studio`, { name: 'taken' })).status, 409)
    const moved = await call('PUT', `${rooms}/studio`, { name: 'atelier', annotations: { by: ['us'] } })
    assert.deepEqual(
      [moved.status, moved.body.id, moved.body.access, moved.body.metadata, moved.body.annotations],
      [200, 'atelier', 'members', notes, { by: ['us'] }],
    )
    assert.equal((await call('GET', `${rooms}/studio`)).status, 404)
    assert.equal((await call('POST', `${rooms}/studio/connect`, {}, member.token)).status, 404)
    const [closed] = await readRoomDocuments(db, pid, { rooms: ['studio'] })
    assert.equal(closed?.closed, true)
    assert.deepEqual(await readRoomDocuments(db, pid, { rooms: ['atelier'] }), [
      {
        project_id: pid,
        room: 'atelier',
        version: 1,
        closed: false,
        member_ids: [member.memberId],
        member_models: { [member.memberId]: ['openai/*'] },
      },
    ])
    assert.equal((await call('POST', `${rooms}/atelier/connect`, {}, member.token)).status, 200)
    // What it was called is free again, and another room.
    assert.equal((await call('POST', rooms, { name: 'studio' })).status, 200)
    for (const metadata of [{ a: 'x'.repeat(20_000) }, { a: '\u0000' }, { a: '\ud800' }])
      assert.equal((await call('PUT', `${rooms}/atelier`, { metadata })).status, 400)
    let deep: object = {}
    for (let level = 0; level < 100; level++) deep = { deep }
    assert.equal((await call('PUT', `${rooms}/atelier`, { metadata: deep })).status, 400)
  })

  await t.test('who enters a room gets a token of their own, for that room', async () => {
    const { status, body } = await call('POST', `${rooms}/lobby/connect`, {}, member.token)
    assert.equal(status, 200, JSON.stringify(body))
    assert.deepEqual(
      [body.room_name, body.project_id, body.room_url],
      ['lobby', pid, 'http://127.0.0.1:8080/rooms/lobby'],
    )
    const claims = await validate(body.jwt)
    assert.deepEqual([claims.sub, claims.sluice_member, claims.name], [pid, member.memberId, member.memberId])
    assert.deepEqual(claims.grants, [
      { name: 'api', scope: { llm: {} } },
      { name: 'room', scope: 'lobby' },
    ])
    assert.ok(Math.abs(claims.exp - Date.now() / 1_000 - 12 * 3_600) < 60)
    const [signer] = await readKeyDocuments(db, [claims.kid])
    assert.deepEqual([signer?.system, signer?.member_id], [true, member.memberId])
    const again = await validate((await call('POST', `${rooms}/lobby/connect`, undefined, member.token)).body.jwt)
    assert.equal(again.kid, claims.kid)
    // Who may not call gets in, and no models.
    const guests = await validate((await call('POST', `${rooms}/lobby/connect`, {}, guest.token)).body.jwt)
    assert.deepEqual(guests.grants[0], { name: 'api', scope: {} })

    // The key is nobody's to see or change.
    const { kid } = claims
    assert.ok(!JSON.stringify((await call('GET', `${project}/api-keys`)).body).includes(kid))
    const key = `${project}/api-keys/${kid}`
    assert.equal((await call('GET', key)).status, 404)
    assert.equal((await call('PATCH', key, { name: 'x' })).status, 404)
    assert.equal((await call('POST', `${key}/rotate`, {})).status, 404)
    assert.equal((await call('DELETE', key)).status, 404)
  })

  await t.test(
    'whoever is in a room as an agent or a tool enters it as one, and a change of what they may do keeps that',
    async () => {
      await call('POST', rooms, { name: 'workshop', access: 'members' })
      const members = `${rooms}/workshop/members`
      const entersAs = async () => {
        const { jwt } = (await call('POST', `${rooms}/workshop/connect`, {}, member.token)).body
        const { grants } = JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString())
        return grants.find(({ name }: { name: string }) => name === 'role')?.scope
      }
      const listed = async () => (await call('GET', members)).body.members.map(({ role }: { role: string }) => role)
      await call('PUT', `${members}/${member.memberId}`)
      assert.deepEqual([await listed(), await entersAs()], [['user'], undefined])
      for (const role of ['agent', 'tool']) {
        assert.equal((await call('PUT', `${members}/${member.memberId}`, { role })).status, 204)
        assert.deepEqual([await listed(), await entersAs()], [[role], role])
      }
      const grant = { room_id: 'workshop', user_id: member.memberId, permissions: { llm: {} } }
      assert.equal((await call('PUT', `${project}/room-grants/any`, grant)).status, 200)
      assert.equal(await entersAs(), 'tool')
      assert.equal((await call('PUT', `${members}/${member.memberId}`, { role: 'admin' })).status, 400)
      assert.equal((await call('PUT', `${members}/${member.memberId}`, {})).status, 204)
      assert.equal(await entersAs(), undefined)
    },
  )

  await t.test('closed rooms are not entered, and unknown ones where the project allows them', async () => {
    await call('POST', rooms, { name: 'done' })
    await call('DELETE', `${rooms}/done`)
    const closed = await call('POST', `${rooms}/done/connect`, {}, member.token)
    assert.deepEqual([closed.status, closed.body.error.code], [409, 'room_closed'])
    assert.equal((await call('POST', `${rooms}/never-made/connect`, {}, member.token)).status, 200)
    await call('PUT', `${project}/settings`, { unknown_rooms: 'deny' })
    assert.equal((await call('POST', `${rooms}/never-made/connect`, {}, member.token)).status, 404)
    assert.equal((await mint({ room_name: 'never-made', api: { llm: {} } }, member.token)).status, 404)
    assert.equal((await call('POST', `${rooms}/lobby/connect`, {}, member.token)).status, 200)
    assert.equal((await call('PUT', `${project}/settings`, { unknown_rooms: 'maybe' })).status, 400)
    await call('PUT', `${project}/settings`, {})
  })

  await t.test('nobody mints more than they hold', async () => {
    const llm = { api: { llm: {} } }
    const own = await mint(llm, member.token)
    assert.deepEqual([own.status, own.claims.sluice_member], [200, member.memberId])
    assert.equal((await mint(llm, guest.token)).status, 403, 'who may not call')
    assert.equal((await mint({ api: {} }, guest.token)).status, 200)
    const grants = [{ name: 'api', scope: { llm: { models: ['openai/*'] } } }]
    assert.deepEqual((await mint({ grants }, member.token)).claims.grants, grants)
    assert.equal((await mint({ grants }, guest.token)).status, 403)

    // What others may let people in by is no plain member's to take.
    for (const surface of ['admin', 'developer', 'secrets', 'tunnels']) {
      const scope = { llm: {}, storage: {}, [surface]: {} }
      const asked = [
        { name: 'api', scope },
        { name: 'role', scope: 'agent' },
      ]
      const refused = await mint({ grants: asked }, member.token)
      assert.deepEqual([refused.status, refused.body.error.code], [403, 'grants_too_much'], surface)
      assert.match(refused.body.error.message, new RegExp(surface))
      assert.equal((await mint({ api: scope, room_name: 'never-made' }, member.token)).status, 403, surface)
      assert.deepEqual((await mint({ grants: asked })).claims.grants, asked, 'an administrator of the project')
    }
    assert.equal((await mint({ api: { llm: {}, storage: {}, admin: null } }, member.token)).status, 200)

    // For others, or nobody: who may make keys.
    for (const who of [{ user_id: guest.memberId }, { email: `${guest.memberId}@example.com` }, { user_id: null }]) {
      assert.equal((await mint({ ...llm, ...who }, member.token)).status, 403)
      const { claims } = await mint({ ...llm, ...who })
      assert.equal(claims.sluice_member, 'user_id' in who && who.user_id === null ? undefined : guest.memberId)
      assert.equal((await readKeyDocuments(db, [claims.kid]))[0]?.system, true)
    }
    assert.equal((await mint({ ...llm, user_id: member.memberId }, member.token)).status, 200)
    for (const who of [{ user_id: stranger.memberId }, { user_id: 'mem_none' }, { email: 'nobody@example.com' }])
      assert.equal((await mint({ ...llm, ...who })).status, 400, JSON.stringify(who))
    assert.equal((await mint({ ...llm, email: `${stranger.memberId}@example.com` })).status, 400)

    // A key signs for itself, whatever it may make.
    const narrow = await newKey({ role: 'admin', models: ['openai/*'], expires_at: new Date(Date.now() + 60_000) })
    const { claims } = await mint(llm, narrow.value)
    assert.deepEqual([claims.kid, claims.sluice_member], [narrow.id, undefined])
    assert.ok(claims.exp <= Date.now() / 1_000 + 60)
    assert.equal((await mint({ ...llm, user_id: member.memberId }, narrow.value)).status, 403, 'beyond its models')
    assert.equal((await mint({ grants, user_id: member.memberId, expires_in_seconds: 30 }, narrow.value)).status, 200)
    assert.equal((await mint({ grants, user_id: member.memberId, expires_in_seconds: 90 }, narrow.value)).status, 403)
    const placed = await newKey({ role: 'admin', ip_ranges: ['127.0.0.0/8'] })
    assert.equal((await mint({ ...llm, user_id: member.memberId }, placed.value)).status, 403, 'beyond its addresses')
    assert.equal((await mint(llm, placed.value)).status, 200)

    for (const bad of [
      { name: '' },
      { name: 'a\nb' },
      { ...llm, grants },
      {
        grants: [
          { name: 'api', scope: {} },
          { name: 'api', scope: {} },
        ],
      },
      { grants: [{ name: 'room', scope: 1 }] },
      { grants: [{ name: 'api', scope: { llm: { models: 'all' } } }] },
      { room_name: 'Lobby' },
      { expires_in_seconds: 0 },
      { expires_in_seconds: 7 * 86_400 + 1 },
      { user_id: member.memberId, email: 'x@example.com' },
      { grants: [{ name: 'x', scope: 'x'.repeat(20_000) }] },
      { sluice_member: member.memberId },
    ])
      assert.equal((await mint(bad)).status, 400, JSON.stringify(bad).slice(0, 80))
  })

  await t.test(
    'what was minted for a member is void when they leave, or by a word, and does not come back',
    async () => {
      const leaver = await addMember(db, accountId, pid, 'member')
      await call('PUT', `${rooms}/board/members/${leaver.memberId}`)
      const minted = async () => (await call('POST', mints, { name: 'x', api: { llm: {} } }, leaver.token)).body.token
      const first = await minted()
      assert.ok(await validate(first))
      const revoked = await call('POST', `${project}/api-keys:revoke`, { msid: leaver.memberId })
      assert.equal(revoked.body.revoked.length, 1)
      assert.equal(await validate(first), undefined)
      const second = await minted()
      assert.ok(await validate(second))
      await call('DELETE', `${project}/users/${leaver.memberId}`)
      assert.equal(await validate(second), undefined)
      assert.deepEqual((await readRoomDocuments(db, pid, { rooms: ['board'] }))[0]?.member_ids, [])
      await call('POST', `${project}/users`, { user_id: leaver.memberId, roles: ['member', 'llm_proxy_user'] })
      assert.equal(await validate(second), undefined)
      const minters = await db
        .selectFrom('audit_entries')
        .select('target')
        .where('action', '=', 'participant-token.minted')
        .execute()
      assert.ok(
        minters.some(({ target }) => target === guest.memberId) && minters.some(({ target }) => target === 'nobody'),
      )
      assert.ok(!minters.some(({ target }) => target === leaver.memberId), 'their own are no news')
    },
  )

  await t.test('a grant decides who enters a room, and what their tokens open', async () => {
    const grants = `${project}/room-grants`
    const apiOf = (claims: { grants: { name: string; scope: unknown }[] }) =>
      claims.grants.find(({ name }) => name === 'api')?.scope
    const connected = async (token: string) => {
      const { status, body } = await call('POST', `${rooms}/vault/connect`, {}, token)
      return status === 200 ? apiOf(await validate(body.jwt)) : status
    }
    await call('POST', rooms, { name: 'vault' })
    assert.deepEqual([await connected(member.token), await connected(guest.token)], [{ llm: {} }, {}])
    // The first grant makes it a room for those alone who have one.
    const storage = { paths: [{ path: '/', read_only: true }] }
    const body = { room_id: 'vault', user_id: member.memberId, permissions: { storage } }
    assert.deepEqual((await call('POST', grants, body)).body, { ok: true })
    assert.equal((await call('GET', `${rooms}/vault`)).body.access, 'members')
    assert.deepEqual([await connected(member.token), await connected(guest.token)], [{ storage }, 404])
    assert.deepEqual((await readRoomDocuments(db, pid, { rooms: ['vault'] }))[0]?.member_models, {
      [member.memberId]: [],
    })
    const again = await call('POST', grants, body)
    assert.deepEqual([again.status, again.body.error.code], [409, 'already_exists'])

    // Tokens for the room are within the grant, whoever mints them.
    const asked = (api: object, token = member.token) =>
      mint({ room_name: 'vault', api, ...(token === adminToken && { user_id: member.memberId }) }, token)
    assert.equal((await asked({ llm: {} })).status, 403)
    assert.equal((await asked({ llm: {} }, adminToken)).status, 403)
    assert.equal((await asked({ admin: {} })).status, 403)
    assert.equal((await asked({ storage })).status, 200)
    const openai = { ...body, permissions: { llm: { models: ['openai/gpt-5*'] } } }
    assert.equal((await call('PUT', `${grants}/any-id`, openai)).status, 200)
    assert.equal((await asked({ llm: {} })).status, 403)
    assert.equal((await asked({ llm: { models: ['openai/*'] } })).status, 403)
    assert.equal((await asked({ llm: { models: ['openai/gpt-5.4'] } })).status, 200)
    assert.equal((await asked({ storage })).status, 403)
    assert.deepEqual(await connected(member.token), { llm: { models: ['openai/gpt-5*'] } })
    assert.deepEqual((await readRoomDocuments(db, pid, { rooms: ['vault'] }))[0]?.member_models, {
      [member.memberId]: ['openai/gpt-5*'],
    })

    // Nobody is granted more than they may do in the project.
    const all = { room_id: 'vault', email: `${guest.memberId}@example.com`, permissions: { llm: {} } }
    assert.equal((await call('POST', grants, all)).status, 200)
    assert.deepEqual(await connected(guest.token), {})

    assert.equal((await call('DELETE', `${grants}/vault/${member.memberId}`)).status, 204)
    assert.equal(await connected(member.token), 404)
    for (const [method, path, payload] of [
      ['DELETE', `${grants}/vault/${member.memberId}`],
      ['PUT', `${grants}/any-id`, openai],
      ['POST', grants, { ...openai, room_id: 'never-made' }],
      ['GET', `${grants}/by-room/never-made`],
      ['GET', `${grants}/by-user/${stranger.memberId}`],
    ] as const)
      assert.equal((await call(method, path, payload)).status, 404, `${method} ${path}`)
    for (const wrong of [
      { user_id: stranger.memberId },
      { user_id: undefined, email: 'nobody@example.com' },
      { user_id: undefined },
      { email: 'both@example.com' },
      { permissions: { llm: { models: 'all' } } },
      { permissions: { llm: true } },
      { permissions: { storage: 'x'.repeat(9_000) } },
      { permissions: { storage: '\u0000' } },
      { room_id: 'Vault' },
    ]) {
      const answer = await call('POST', grants, { ...openai, ...wrong })
      assert.equal(answer.status, 400, JSON.stringify(wrong).slice(0, 60))
    }
    // One's own are one's own to read; others' take who manages rooms.
    assert.equal((await call('GET', `${grants}/vault/me`, undefined, guest.token)).body.user_id, guest.memberId)
    assert.equal((await call('GET', `${grants}/by-user/me`, undefined, guest.token)).body.room_grants.length, 1)
    assert.equal((await call('GET', `${grants}/by-user/${member.memberId}`, undefined, guest.token)).status, 403)
    assert.equal((await call('GET', grants, undefined, stranger.apiKey)).status, 404)
  })

  await t.test('the member that a token names is believed of the server’s own tokens alone', async () => {
    const key = await newKey({ member_id: member.memberId })
    const parts = parseApiKey(key.value)
    assert.ok(parts)
    const good = { ...parts, value: key.value }
    assert.ok(await validate(goodToken(good)))
    for (const sluice_member of [member.memberId, guest.memberId, '', null, [member.memberId]])
      assert.equal(await validate(goodToken(good, { sluice_member })), undefined)
  })

  await t.test('the client of MeshAgent makes, lists, grants, enters and deletes rooms', async () => {
    const baseUrl = await app.listen({ host: '127.0.0.1', port: 0 })
    const client = new Meshagent({ baseUrl, token: adminToken })
    const made = await client.createRoom({ projectId: pid, name: 'by-client', metadata: { a: 'b' } })
    assert.deepEqual([made.id, made.name, made.metadata], ['by-client', 'by-client', { a: 'b' }])
    await client.createRoom({ projectId: pid, name: 'by-client', ifNotExists: true })
    const permissions = {
      [`${guest.memberId}@example.com`]: new ApiScope({}),
      [member.memberId]: ApiScope.agentDefault(),
    }
    const granted = await client.createRoom({ projectId: pid, name: 'with-permissions', permissions })
    assert.equal(granted.name, 'with-permissions')
    const inside = await client.listRoomGrantsByRoom(pid, granted.id)
    assert.deepEqual(
      new Map(inside.map(grant => [grant.userId, grant.permissions])),
      new Map([
        [guest.memberId, new ApiScope({})],
        [member.memberId, ApiScope.agentDefault()],
      ]),
    )
    const nobody = { projectId: pid, name: 'for-nobody', permissions: { 'nobody@example.com': new ApiScope({}) } }
    await assert.rejects(client.createRoom(nobody), /no member of this project/)
    await client.updateRoom(pid, made.id, 'by-client', { metadata: { c: { d: [1] } } })
    assert.deepEqual((await client.getRoom(pid, 'by-client')).metadata, { c: { d: [1] } })
    await client.updateRoom(pid, made.id, 'renamed', {})
    assert.equal((await client.getRoom(pid, 'renamed')).name, 'renamed')
    await client.updateRoom(pid, 'renamed', 'by-client', {})

    const grant = { projectId: pid, roomId: made.id, userId: member.memberId }
    await client.createRoomGrant({ ...grant, permissions: ApiScope.userDefault() })
    await client.createRoomGrantByEmail({
      projectId: pid,
      roomId: made.id,
      email: 'admin@example.com',
      permissions: ApiScope.full(),
    })
    assert.deepEqual((await client.getRoomGrant(pid, made.id, member.memberId)).permissions, ApiScope.userDefault())
    await client.updateRoomGrant({ ...grant, permissions: ApiScope.agentDefault() })
    assert.deepEqual((await client.getRoomGrant(pid, made.id, member.memberId)).permissions, ApiScope.agentDefault())
    const ofRoom = await client.listRoomGrantsByRoom(pid, made.id, { limit: 1, offset: 1 })
    assert.equal(ofRoom.length, 1)
    const everyGrant = await client.listRoomGrants(pid)
    assert.ok(everyGrant.length > 3)
    assert.deepEqual(
      (await client.listRoomGrantsByUser(pid, member.memberId)).map(({ room }) => room.name),
      everyGrant.filter(({ userId }) => userId === member.memberId).map(({ room }) => room.name),
    )
    const counted = await client.listUniqueRoomsWithGrants(pid)
    assert.equal(counted.find(({ room }) => room.name === 'by-client')?.count, 2)
    const people = await client.listUniqueUsersWithGrantsPage(pid, { filter: member.memberId.slice(0, 30) })
    assert.equal(
      people.users.find(({ userId }) => userId === member.memberId)?.count,
      everyGrant.filter(({ userId }) => userId === member.memberId).length,
    )
    assert.equal(people.total, people.users.length)
    await client.deleteRoomGrant(pid, made.id, member.memberId)
    await assert.rejects(client.getRoomGrant(pid, made.id, member.memberId), /404/)
    const all = await client.listRooms(pid)
    const firstTwo = [
      ...(await client.listRooms(pid, { limit: 1, offset: 0 })),
      ...(await client.listRooms(pid, { limit: 1, offset: 1 })),
    ]
    assert.deepEqual(
      firstTwo.map(room => room.name),
      all.slice(0, 2).map(room => room.name),
    )
    const connection = await client.connectRoom(pid, 'by-client')
    assert.deepEqual([connection.roomName, connection.projectId], ['by-client', pid])
    const { grants: inToken } = await validate(connection.jwt)
    assert.deepEqual(inToken[0], { name: 'api', scope: ApiScope.full().toJSON() })
    await client.deleteRoom(pid, made.id)
    assert.ok(!(await client.listRooms(pid)).some(room => room.name === 'by-client'))
  })
})
