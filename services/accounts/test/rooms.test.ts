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
    assert.equal((await call('PUT', `${rooms}/lobby`, { name: 'other' })).status, 400)
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

  await t.test('the member that a token names is believed of the server’s own tokens alone', async () => {
    const key = await newKey({ member_id: member.memberId })
    const parts = parseApiKey(key.value)
    assert.ok(parts)
    const good = { ...parts, value: key.value }
    assert.ok(await validate(goodToken(good)))
    for (const sluice_member of [member.memberId, guest.memberId, '', null, [member.memberId]])
      assert.equal(await validate(goodToken(good, { sluice_member })), undefined)
  })

  await t.test('the client of MeshAgent makes, lists, enters and deletes rooms', async () => {
    const baseUrl = await app.listen({ host: '127.0.0.1', port: 0 })
    const client = new Meshagent({ baseUrl, token: adminToken })
    const made = await client.createRoom({ projectId: pid, name: 'by-client', metadata: { a: 'b' } })
    assert.deepEqual([made.id, made.name, made.metadata], ['by-client', 'by-client', { a: 'b' }])
    await client.createRoom({ projectId: pid, name: 'by-client', ifNotExists: true })
    const permissions = { 'somebody@example.com': new ApiScope({}) }
    assert.equal(
      (await client.createRoom({ projectId: pid, name: 'with-permissions', permissions })).name,
      'with-permissions',
    )
    await client.updateRoom(pid, made.id, 'by-client', { annotations: { c: 'd' } })
    assert.deepEqual((await client.getRoom(pid, 'by-client')).annotations, { c: 'd' })
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
    assert.ok(await validate(connection.jwt))
    await client.deleteRoom(pid, made.id)
    assert.ok(!(await client.listRooms(pid)).some(room => room.name === 'by-client'))
  })
})
