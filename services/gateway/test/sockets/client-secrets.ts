import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashCredential } from '@sluice/simulator'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { mintToken } from '../access/mint-token.ts'
import type { GatewayStack, ProjectOptions, TestProject } from '../gateway-stack.ts'
import { openSocket, refusedUpgrade, untilHungUp } from './socket-client.ts'

const open: ProjectOptions = { ownCredential: true, settings: { path_classes: { realtime_calls: true } } }
const realtime = '/v1/realtime'
const sound = { type: 'input_audio_buffer.append', audio: Buffer.alloc(48_000).toString('base64') }
const instructions = '[[sim output_tokens=8]]'
const session = {
  type: 'realtime' as const,
  model: 'gpt-realtime',
  instructions,
  audio: { input: { transcription: { model: 'whisper-1' } } },
}
const protocolsOf = (secret: string) => ['realtime', `openai-insecure-api-key.${secret}`]

/** Secrets for browsers: ours in place of the provider's, so that what they begin is seen, metered and its maker's. */
export function clientSecretsAreOurs(gateway: GatewayStack): void {
  const browser = (secret: string, path = realtime) =>
    openSocket(gateway, path, undefined, { protocols: protocolsOf(secret), headers: { origin: 'https://app.example' } })
  const refused = async (secret: string, path = realtime): Promise<[number, string]> => {
    const { status, body } = await refusedUpgrade(gateway, path, { protocols: protocolsOf(secret) })
    return [status, body.error.code]
  }
  const make = (apiKey: string, body: OpenAI.Realtime.ClientSecretCreateParams = { session }) =>
    gateway.openai(apiKey).realtime.clientSecrets.create(body)

  async function settled(project: TestProject, count: number) {
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length >= count && found
    })
    assert.equal(events.length, count)
    const bills = await gateway.billsOf(project)
    for (const event of events) {
      const bill = bills.find(({ response_id }) => response_id === event.response_id)
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
      assert.ok(event.cost_nano_usd > 0)
    }
    return events
  }

  test('made by a key through the official client, used by a browser’s socket: the session as it was set, turns to the bill, the key’s', async () => {
    const project = await gateway.newProject(open)
    const made = await make(project.apiKey, { session, expires_after: { anchor: 'created_at', seconds: 120 } })
    assert.match(made.value, /^ek_[\w-]{200,}$/)
    assert.ok(Math.abs(made.expires_at - Date.now() / 1_000 - 120) < 10, 'the provider’s own end')
    assert.equal(made.session.type, 'realtime')
    assert.deepEqual(new Set(JSON.stringify(made).match(/ek_[\w-]+/g)), new Set([made.value]), 'no other secret in it')
    const client = await browser(made.value)
    assert.equal(client.socket.protocol, 'realtime')
    const [created] = await client.until('session.created')
    assert.equal(created.session.instructions, instructions)
    client.send(sound)
    client.send({ type: 'input_audio_buffer.commit' })
    client.send({ type: 'response.create' })
    await client.until('response.done')
    await client.until('conversation.item.input_audio_transcription.completed')
    client.socket.close()
    for (const event of await settled(project, 2)) {
      assert.deepEqual([event.identity.key_id, event.identity.credential_kind], [project.keyId, 'key'])
      assert.ok(!JSON.stringify(event).includes('ek_'))
    }
    const arrived = await gateway.arrived(String(client.upgraded['x-request-id']))
    const [sent = ''] = arrived.header('authorization')
    assert.ok(sent !== '' && ![made.value, project.credential].some(other => sent.endsWith(hashCredential(other))))
    assert.deepEqual(arrived.header('sec-websocket-protocol'), ['realtime'])
    assert.doesNotMatch(gateway.logs(), /ek_/)
  })

  test('a participant’s secret is that participant’s, in that room', async () => {
    const project = await gateway.newProject(open)
    const made = await make(await mintToken(project.apiKey, { room: 'lobby' }))
    const client = await browser(made.value, `/rooms/lobby${realtime}?model=gpt-realtime`)
    client.send({ type: 'response.create' })
    await client.until('response.done')
    client.socket.close()
    const [event] = await settled(project, 1)
    const { room, participant, credential_kind, member_id } = event?.identity ?? {}
    assert.deepEqual([room, participant, credential_kind, member_id], ['lobby', 'bot', 'participant_token', undefined])
    assert.equal((await refused(made.value, `/rooms/other${realtime}`))[0], 403)
  })

  test('a call made with a secret is joined and metered like one made with a key', async () => {
    const project = await gateway.newProject(open)
    const { value } = await make(project.apiKey)
    const answer = await gateway.post(`${realtime}/calls`, value, 'v=0\r\n', {
      headers: { 'content-type': 'application/sdp' },
    })
    assert.equal(answer.status, 201, await answer.text())
    const callId = answer.headers.get('location')?.split('/').at(-1) ?? ''
    const turns = () => gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint === 'realtime.calls')
    await eventually(() => turns().length === 3)
    await gateway.openai(project.apiKey).realtime.calls.hangup(callId)
    await untilHungUp(gateway, callId)
    for (const event of await settled(project, 6)) assert.equal(event.identity.key_id, project.keyId)
  })

  test('the older forms: sessions, and sessions that only write down', async () => {
    const project = await gateway.newProject(open)
    const post = async (path: string, body: object) => {
      const answer = await gateway.post(`${realtime}/${path}`, project.apiKey, body)
      assert.equal(answer.status, 200)
      return (await answer.json()) as { client_secret: { value: string; expires_at: number }; value?: string }
    }
    const spoken = await post('sessions', { model: 'gpt-realtime', instructions })
    assert.equal(spoken.value, undefined)
    assert.ok(Math.abs(spoken.client_secret.expires_at - Date.now() / 1_000 - 60) < 10)
    const speaker = await browser(spoken.client_secret.value, `${realtime}?model=gpt-realtime`)
    speaker.send({ type: 'response.create' })
    await speaker.until('response.done')
    speaker.socket.close()
    const heard = await post('transcription_sessions', { input_audio_transcription: { model: 'gpt-4o-transcribe' } })
    const writer = await browser(heard.client_secret.value, `${realtime}?intent=transcription`)
    writer.send(sound)
    writer.send({ type: 'input_audio_buffer.commit' })
    await writer.until('conversation.item.input_audio_transcription.completed')
    writer.socket.close()
    const events = await settled(project, 2)
    assert.deepEqual(events.map(({ endpoint }) => endpoint).sort(), ['realtime', 'realtime.transcription'])
    assert.deepEqual(await refused(heard.client_secret.value, `${realtime}?model=gpt-realtime`), [
      403,
      'model_not_allowed',
    ])
  })

  test('a secret is for the models it was made for', async () => {
    const project = await gateway.newProject(open)
    const { value } = await make(project.apiKey)
    for (const model of ['gpt-realtime-mini', 'whisper-1'])
      assert.deepEqual(await refused(value, `${realtime}?model=${model}`), [403, 'model_not_allowed'])
    const client = await browser(value)
    client.send({ type: 'response.create', response: { model: 'gpt-realtime-mini' } })
    client.send({
      type: 'session.update',
      session: { audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } },
    })
    for (const { error } of await client.until('error', 2)) assert.equal(error.code, 'model_not_allowed')
    client.socket.close()
    assert.deepEqual(await gateway.billsOf(project), [])
  })

  test('a secret is refused on every other path, changed, and when its time is over; a socket that is open goes on', async () => {
    const project = await gateway.newProject(open)
    const { value } = await make(project.apiKey, { session, expires_after: { anchor: 'created_at', seconds: 3 } })
    const client = await browser(value)
    const paths = ['/v1/responses', '/v1/chat/completions', '/v1/realtime/client_secrets', '/anthropic/v1/messages']
    for (const path of [...paths, '/v1/realtime/calls/rtc_1/hangup']) {
      const answer = await gateway.post(path, value, { model: 'gpt-realtime', session, input: 'x' })
      assert.equal(answer.status, 401, path)
      assert.doesNotMatch(await answer.text(), /ek_/)
    }
    assert.equal((await fetch(`${gateway.url}/v1/models`, { headers: { 'x-api-key': value } })).status, 401)
    assert.equal((await refused(value, '/v1/responses'))[0], 401)
    for (let at = 3; at < value.length; at += 97) {
      const changed = value.slice(0, at) + (value[at] === 'A' ? 'B' : 'A') + value.slice(at + 1)
      assert.deepEqual(await refused(changed), [401, 'invalid_api_key'], `changed at ${at}`)
    }
    await eventually(() => isExpired(value), { intervalMs: 200 })
    assert.deepEqual(await refused(value), [401, 'invalid_api_key'])
    client.send({ type: 'response.create' })
    await client.until('response.done')
    client.socket.close()
    assert.doesNotMatch(gateway.logs(), /ek_/)
  })

  /** Asked so that no call comes of it: a form without a boundary. */
  async function isExpired(secret: string): Promise<boolean> {
    const headers = { 'content-type': 'multipart/form-data' }
    const answer = await gateway.post(`${realtime}/calls`, secret, 'no offer', { headers })
    return /has expired/.test(await answer.text())
  }

  test('a secret dies with its key, and with the class: what is open is closed, nothing new is let in', async () => {
    const project = await gateway.newProject(open)
    const settings = `/accounts/projects/${project.projectId}/settings`
    const { value } = await make(project.apiKey)
    const first = await browser(value)
    await gateway.manage('PUT', settings, { path_classes: { realtime_calls: false } })
    assert.equal((await first.closed).code, 1008)
    assert.deepEqual(await refused(value), [403, 'path_not_open'])
    await assert.rejects(make(project.apiKey), OpenAI.PermissionDeniedError)
    await gateway.manage('PUT', settings, { path_classes: { realtime_calls: true } })
    const second = await eventually(() => browser(value).catch(() => undefined))
    await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
    assert.equal((await second.closed).code, 1008)
    assert.deepEqual(await refused(value), [401, 'invalid_api_key'])
  })

  test('a secret ends with the provider access it was made for', async () => {
    const project = await gateway.newProject(open)
    const { value } = await make(project.apiKey)
    await gateway.manage('PUT', `/accounts/projects/${project.projectId}/settings/openai`, {
      base_url: `${gateway.stack.simulatorUrl}/openai/v1`,
      api_key: project.credential,
    })
    await eventually(async () => {
      const answer = await gateway.post('/v1/responses', project.apiKey, { model: 'gpt-5.4-mini', input: 'x' })
      await answer.arrayBuffer()
      return (await gateway.arrived(answer.headers.get('x-request-id'))).target.startsWith('/openai/')
    })
    const { status, body } = await refusedUpgrade(gateway, realtime, { protocols: protocolsOf(value) })
    assert.equal(status, 401)
    assert.match(body.error.message, /access to the provider has changed/)
  })

  test('no secret is made for a model that is not allowed, has no price or is not named, or where the budget is spent', async () => {
    const project = await gateway.newProject({
      ...open,
      allowedModels: ['gpt-realtime*', 'gpt-5.4-mini'].map(model => ({ provider: 'openai', model })),
    })
    const spoken = { type: 'realtime' as const, model: 'gpt-realtime' }
    const bad: [object, number, string][] = [
      [{ session: { type: 'realtime', model: 'gpt-4o-realtime' } }, 403, 'model_not_allowed'],
      [
        { session: { ...spoken, audio: { input: { transcription: { model: 'whisper-1' } } } } },
        403,
        'model_not_allowed',
      ],
      [{ session: { type: 'transcription', audio: {} } }, 400, 'model_missing'],
      [{ session: { type: 'realtime', model: 'gpt-realtime-none-such' } }, 400, 'model_not_priced'],
      [{ session: { type: 'realtime', model: 'gpt-realtime*' } }, 400, 'model_missing'],
      [{ session: { type: 'realtime' } }, 400, 'model_missing'],
      [{}, 400, 'model_missing'],
      [{ session: 'x' }, 400, 'invalid_request'],
    ]
    for (const [body, status, code] of bad) {
      const answer = await gateway.post(`${realtime}/client_secrets`, project.apiKey, body)
      const { error } = (await answer.json()) as { error: { code: string } }
      assert.deepEqual([answer.status, error.code], [status, code], JSON.stringify(body))
    }
    await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, {
      name: 'Tiny',
      unit: 'usd',
      limit: '0.000000001',
      window: 'total',
      mode: 'soft',
    })
    const turn = await gateway.post('/v1/responses', project.apiKey, { model: 'gpt-5.4-mini', input: 'x' })
    assert.equal(turn.status, 200, await turn.text())
    await eventually(async () => {
      const answer = await gateway.post(`${realtime}/client_secrets`, project.apiKey, { session: spoken })
      return [402, 429].includes(answer.status) && /insufficient_quota/.test(await answer.text())
    })
  })
}
