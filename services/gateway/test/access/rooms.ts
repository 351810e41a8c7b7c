import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'
import { openSocket, refusedUpgrade } from '../sockets/socket-client.ts'
import { mintToken } from './mint-token.ts'

/** Rooms, and tokens that the server mints for members, from REST to a call. */
export function roomsAreKept(gateway: GatewayStack): void {
  const chat = { model: 'gpt-5.4-mini', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }
  const long = { ...chat, max_tokens: 5_000, stream: true }
  const slow = { ...long, messages: [{ role: 'user', content: '[[sim output_tokens=3000 delay_ms=30]]' }] }
  const call = async (credential: string, path = '/v1/chat/completions', headers: Record<string, string> = {}) => {
    const answer = await gateway.post(path, credential, chat, { headers })
    const { error } = (await answer.json()) as { error?: { code: string } }
    return { status: answer.status, code: error?.code, callId: answer.headers.get('sluice-call-id') }
  }
  const outcome = async (credential: string, path?: string) => {
    const { status, code } = await call(credential, path)
    return code === undefined ? status : `${status} ${code}`
  }

  suite('rooms', { concurrency: 4 }, () => {
    test('a closed room takes no call, and ends running ones and sockets at once', async t => {
      const { projectId, apiKey } = await gateway.newProject()
      const rooms = `/accounts/projects/${projectId}/rooms`
      await gateway.manage('POST', rooms, { name: 'lobby' })
      const token = await mintToken(apiKey, { room: 'lobby' })
      const other = await mintToken(apiKey, { room: 'kitchen' })
      assert.equal(await outcome(token), 200)
      const streams = await Promise.all([
        gateway.post('/v1/chat/completions', token, slow),
        gateway.post('/rooms/lobby/v1/chat/completions', apiKey, slow),
      ])
      const spared = await gateway.post('/v1/chat/completions', other, slow)
      const socket = await openSocket(gateway, '/v1/responses', token)
      await gateway.manage('DELETE', `${rooms}/lobby`)
      const since = performance.now()
      await eventually(async () => (await outcome(token)) === '403 room_closed')
      t.diagnostic(`refused ${Math.round(performance.now() - since)} ms after the answer of the closing`)
      for (const stream of streams) assert.match(await stream.text(), /is closed/)
      await socket.closed
      assert.equal(await outcome(apiKey, '/rooms/lobby/v1/chat/completions'), '403 room_closed')
      const refused = await refusedUpgrade(gateway, '/v1/responses', { headers: { authorization: `Bearer ${token}` } })
      assert.deepEqual([refused.status, refused.body.error.code], [403, 'room_closed'])
      assert.equal(await outcome(other), 200)
      assert.equal(await outcome(apiKey), 200)
      await spared.body?.cancel()
      await gateway.manage('POST', rooms, { name: 'lobby' })
      await eventually(async () => (await outcome(token)) === 200)
    })

    test('rooms that nobody has made take calls unless their project denies it', async () => {
      const { projectId, apiKey } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}`
      await gateway.manage('POST', `${path}/rooms`, { name: 'made' })
      const [made, unmade] = [await mintToken(apiKey, { room: 'made' }), await mintToken(apiKey, { room: 'unmade' })]
      assert.deepEqual([await outcome(made), await outcome(unmade)], [200, 200])
      await gateway.manage('PUT', `${path}/settings`, { unknown_rooms: 'deny' })
      await eventually(async () => (await outcome(unmade)) === '403 room_unknown')
      assert.equal(await outcome(apiKey, '/rooms/unmade/v1/chat/completions'), '403 room_unknown')
      assert.deepEqual([await outcome(made), await outcome(apiKey)], [200, 200])
      await gateway.manage('POST', `${path}/rooms`, { name: 'unmade' })
      await eventually(async () => (await outcome(unmade)) === 200)
    })

    test('a grant says what its member calls in a room, and taking it ends what they call there at once', async t => {
      const { projectId } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}`
      const addUser = async (name: string): Promise<string> =>
        (
          await gateway.manage('POST', `${path}/users`, {
            email: `${name}-${projectId}@rooms.example`,
            roles: ['member', 'llm_proxy_user'],
          })
        ).body.user_id
      const [memberId, otherId] = [await addUser('a'), await addUser('b')]
      await gateway.manage('POST', `${path}/rooms`, { name: 'vault' })
      const mint = async (user_id: string): Promise<string> =>
        (
          await gateway.manage('POST', `${path}/participant-tokens`, {
            name: 'laptop',
            room_name: 'vault',
            api: { llm: {} },
            user_id,
          })
        ).body.token
      const [token, other] = [await mint(memberId), await mint(otherId)]
      await eventually(async () => (await outcome(token)) === 200 && (await outcome(other)) === 200)

      // The first grant closes the room to whoever has none, whatever their token says.
      const grant = { room_id: 'vault', user_id: memberId, permissions: { llm: { models: ['anthropic/*'] } } }
      const others = await gateway.post('/v1/chat/completions', other, slow)
      await gateway.manage('POST', `${path}/room-grants`, grant)
      await eventually(async () => (await outcome(other)) === '403 room_not_granted')
      assert.match(await others.text(), /no member of room/)
      await eventually(async () => (await outcome(token)) === '403 model_not_allowed')
      const change = (permissions: object) =>
        gateway.manage('PUT', `${path}/room-grants/unused`, { ...grant, permissions })
      await change({ llm: { models: ['openai/gpt-5*'] } })
      await eventually(async () => (await outcome(token)) === 200)

      const ended = async (what: string, say: RegExp, reason: string, order: () => Promise<unknown>) => {
        const stream = await gateway.post('/v1/chat/completions', token, slow)
        const socket = await openSocket(gateway, '/v1/responses', token)
        await order()
        const since = performance.now()
        await eventually(async () => (await outcome(token)) === reason)
        t.diagnostic(`${what}: refused ${Math.round(performance.now() - since)} ms after the answer`)
        assert.match(await stream.text(), say)
        await socket.closed
      }
      await ended('no models', /opens no models/, '403 llm_not_granted', () => change({ storage: {} }))
      await change({ llm: {} })
      await eventually(async () => (await outcome(token)) === 200)
      await ended('taken', /no member of room/, '403 room_not_granted', () =>
        gateway.manage('DELETE', `${path}/room-grants/vault/${memberId}`),
      )
    })

    test('a token of the server’s for a member is that member’s, with their teams, and ends with what they may do', async t => {
      const { projectId } = await gateway.newProject()
      const path = `/accounts/projects/${projectId}`
      const { body: team } = await gateway.manage('POST', `${path}/teams`, { name: 'Red' })
      const { body: other } = await gateway.manage('POST', `${path}/teams`, { name: 'Blue' })
      const { body: user } = await gateway.manage('POST', `${path}/users`, {
        email: `${projectId}@rooms.example`,
        roles: ['member', 'llm_proxy_user'],
      })
      const memberId: string = user.user_id
      for (const { id } of [team, other]) await gateway.manage('PUT', `${path}/teams/${id}/members/${memberId}`, {})
      await gateway.manage('PUT', `${path}/users/${memberId}/default-team`, { team_id: team.id })
      await gateway.manage('POST', `${path}/rooms`, { name: 'board', access: 'members' })
      await gateway.manage('PUT', `${path}/rooms/board/members/${memberId}`)
      const mint = async (more: object): Promise<string> =>
        (await gateway.manage('POST', `${path}/participant-tokens`, { name: 'laptop', ...more })).body.token
      // A member's own key lets whom it likes into a room, also where its member is in none.
      const { body: key } = await gateway.manage('POST', `${path}/api-keys`, { name: 'own', member_id: memberId })
      const signed = await mintToken(key.value, { room: 'board' })
      const token = await mint({ room_name: 'board', api: { llm: {} }, user_id: memberId })
      await eventually(async () => (await outcome(token)) === 200)
      const { identity } = await gateway.eventOf((await call(token)).callId)
      assert.deepEqual(
        [identity.member_id, identity.team_id, identity.room, identity.participant, identity.credential_kind],
        [memberId, team.id, 'board', 'laptop', 'participant_token'],
      )
      const blue = await gateway.eventOf((await call(token, undefined, { 'sluice-team': 'blue' })).callId)
      assert.equal(blue.identity.team_id, other.id)
      const nobodys = await mint({ api: { llm: { models: ['openai/*'] } }, user_id: null })
      await eventually(async () => (await outcome(nobodys)) === 200)
      const unnamed = await gateway.eventOf((await call(nobodys)).callId)
      assert.deepEqual([unnamed.identity.member_id, unnamed.identity.team_id], [undefined, 'unassigned'])

      // Out of the room, or without permission to call: running streams end too.
      const roomless = await mint({ api: { llm: {} }, user_id: memberId })
      const stream = await gateway.post('/v1/chat/completions', token, slow)
      const socket = await openSocket(gateway, '/v1/responses', token)
      const spared = await gateway.post('/v1/chat/completions', roomless, slow)
      await gateway.manage('DELETE', `${path}/rooms/board/members/${memberId}`)
      await eventually(async () => (await outcome(token)) === '403 room_not_granted')
      assert.match(await stream.text(), /no member of room/)
      await socket.closed
      assert.deepEqual([await outcome(roomless), await outcome(signed)], [200, 200])
      await gateway.manage('PUT', `${path}/users/${memberId}`, { can_use_llm_proxy: false })
      const since = performance.now()
      await eventually(async () => (await outcome(roomless)) === '403 llm_not_granted')
      t.diagnostic(`refused ${Math.round(performance.now() - since)} ms after the answer of the change`)
      assert.match(await spared.text(), /revoked or suspended/)
      assert.equal(await outcome(nobodys), 200)
    })
  })
}
