import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack } from '../gateway-stack.ts'
import { openSocket, refusedUpgrade } from './socket-client.ts'

const model = 'gpt-5.4-mini'

/** Who may open a socket, and what a refused socket and a refused turn hear. */
export function socketsAreRefused(gateway: GatewayStack): void {
  test('a socket without a good credential is refused with the status and words of a call', async () => {
    for (const path of ['/v1/responses', '/openai/v1/realtime?model=gpt-realtime']) {
      for (const headers of [{}, { authorization: 'Bearer ma-no' }, { 'x-api-key': 'nothing' }]) {
        const { status, headers: told, body } = await refusedUpgrade(gateway, path, { headers })
        assert.equal(status, 401)
        assert.equal(body.error.code, 'invalid_api_key')
        assert.match(String(told['x-meshagent-error-message']), /key|credential/i)
        assert.ok(told['sluice-call-id'])
      }
    }
  })

  test('a browser’s key among the subprotocols opens the socket and is seen nowhere', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const protocols = ['realtime', `openai-insecure-api-key.${project.apiKey}`, 'openai-beta.realtime-v1']
    const client = await openSocket(gateway, '/v1/realtime?model=gpt-realtime', undefined, {
      protocols,
      headers: { origin: 'https://app.example', cookie: 'session=secret-cookie' },
    })
    assert.equal(client.socket.protocol, 'realtime')
    client.send({ type: 'response.create' })
    await client.until('response.done')
    client.socket.close()
    const arrived = await gateway.arrived(String(client.upgraded['x-request-id']))
    const [, , secret = ''] = project.apiKey.split('-')
    const sent = JSON.stringify(arrived)
    assert.deepEqual(arrived.header('sec-websocket-protocol'), ['realtime,openai-beta.realtime-v1'])
    for (const hidden of [project.apiKey, secret, 'secret-cookie', 'app.example']) assert.ok(!sent.includes(hidden))
    const [event] = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length > 0 && found
    })
    assert.ok(!JSON.stringify(event).includes(secret))
    assert.ok(!gateway.logs().includes(secret))
    // Neither does the header of an ordinary call reach the provider.
    const answer = await gateway.post(
      '/v1/responses',
      project.apiKey,
      { model, input: 'x' },
      { headers: { 'sec-websocket-protocol': protocols.join(', ') } },
    )
    await answer.arrayBuffer()
    assert.deepEqual((await gateway.arrived(answer.headers.get('x-request-id'))).header('sec-websocket-protocol'), [])
  })

  test('handshakes that say two things, or hide a request behind them, are refused', async () => {
    const { apiKey } = await gateway.newProject()
    const head = (path: string, more = '', version = '1.1') =>
      `GET ${path} HTTP/${version}\r\nhost: x\r\nauthorization: Bearer ${apiKey}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`
    const statusOf = async (bytes: string) => Number((await gateway.raw(bytes)).split(' ')[1])
    assert.equal(await statusOf(head('/v1/responses')), 101)
    assert.equal(await statusOf(head('/v1/responses', '', '1.0')), 400)
    assert.equal(await statusOf(`${head('/v1/responses', 'content-length: 5\r\n')}GET /`), 400)
    assert.equal(await statusOf(head('/v1/responses', 'transfer-encoding: chunked\r\n')), 400)
    assert.equal(await statusOf(head('/v1/responses', 'host: y\r\n')), 400)
    assert.equal(await statusOf(head('/v1/realtime?model=gpt-realtime&model=gpt-realtime-mini')), 400)
    assert.equal(await statusOf(head('/v1/realtime')), 400)
    assert.equal(await statusOf(head('/v1/realtime?call_id=rtc_1')), 400)
    assert.equal(await statusOf(head('/v1/chat/completions')), 400)
    assert.equal(await statusOf(head('/anthropic/v1/messages')), 400)
    assert.equal(await statusOf(head('/v1/responses').replace('version: 13', 'version: 8')), 400)
  })

  test('what a provider answers to the handshake is the answer', async () => {
    const { apiKey } = await gateway.newProject()
    const { status, body } = await refusedUpgrade(gateway, '/v1/responses', {
      headers: { authorization: `Bearer ${apiKey}`, 'x-sim-upgrade-status': '426' },
    })
    assert.equal(status, 426)
    assert.match(body.error.message, /told to fail/)
  })

  test('a model is checked at each turn, wherever it is named; a refused turn is an event, and the socket stays', async () => {
    const project = await gateway.newProject({
      ownCredential: true,
      allowedModels: [{ provider: 'openai', model: 'gpt-5.4*' }],
    })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    const input = 'x'
    const bad: [object | string, number, string][] = [
      [{ type: 'response.create', model: 'gpt-4o', input, stream_id: 'a' }, 403, 'model_not_allowed'],
      [{ type: 'response.create', response: { model: 'gpt-4o' }, input }, 403, 'model_not_allowed'],
      [{ type: 'response.create', model, response: { model: 'gpt-4o' }, input }, 403, 'model_not_allowed'],
      [`{"type":"response.create","model":"${model}","model":"gpt-4o","input":"x"}`, 400, 'invalid_request'],
      [`{"type":"x","type":"response.create","model":"gpt-4o","input":"x"}`, 400, 'invalid_request'],
      [{ type: 'response.create', model: 'gpt-5.4-none-such', input }, 400, 'model_not_priced'],
      [{ type: 'response.create', input }, 400, 'model_missing'],
      [{ type: 'response.create', model, input, background: true }, 400, 'path_not_supported'],
      ['no json', 400, 'invalid_request'],
      [{ no: 'type' }, 400, 'invalid_request'],
    ]
    for (const [index, [event, status, code]] of bad.entries()) {
      client.send(event)
      const errors = await client.until('error', index + 1)
      assert.deepEqual([errors[index].status, errors[index].error.code], [status, code], JSON.stringify(event))
    }
    assert.equal(client.events[0].stream_id, 'a')
    client.socket.send(Buffer.from(JSON.stringify({ type: 'response.create', model: 'gpt-4o', input })), {
      binary: true,
    })
    await client.until('error', bad.length + 1)
    client.send({ type: 'response.create', model, input })
    await client.until('response.completed')
    client.socket.close()
    assert.equal((await gateway.billsOf(project)).length, 1, 'nothing refused reached the provider')
  })

  test('realtime: the model of the URL, and the one that writes down what is heard, must be allowed', async () => {
    const project = await gateway.newProject({
      allowedModels: [{ provider: 'openai', model: 'gpt-realtime' }],
    })
    const refused = await refusedUpgrade(gateway, '/v1/realtime?model=gpt-realtime-mini', {
      headers: { authorization: `Bearer ${project.apiKey}` },
    })
    assert.deepEqual([refused.status, refused.body.error.code], [403, 'model_not_allowed'])
    const client = await openSocket(gateway, '/v1/realtime?model=gpt-realtime', project.apiKey)
    const transcription = { model: 'gpt-4o-transcribe' }
    for (const session of [{ audio: { input: { transcription } } }, { input_audio_transcription: transcription }])
      client.send({ type: 'session.update', event_id: 'mine', session })
    for (const { status, error } of await client.until('error', 2))
      assert.deepEqual([status, error.code, error.event_id], [403, 'model_not_allowed', 'mine'])
    assert.ok(!client.events.some(({ type }) => type === 'session.updated'))
    client.send({ type: 'session.update', session: { instructions: 'be brief' } })
    await client.until('session.updated')
    client.socket.close()
  })

  test('realtime over HTTP hands the media path to the client: refused, and the answer says what to do', async () => {
    const { apiKey } = await gateway.newProject()
    for (const path of [
      'client_secrets',
      'calls',
      'sessions',
      'transcription_sessions',
      'calls/rtc_1/hangup',
      'translations',
    ]) {
      const answer = await gateway.post(`/v1/realtime/${path}`, apiKey, { session: { model: 'gpt-realtime' } })
      const { error } = (await answer.json()) as { error: { code: string; message: string } }
      assert.ok([400, 403].includes(answer.status), `${path}: ${answer.status}`)
      assert.match(error.code, /path_not_(supported|open)/)
    }
  })
}
