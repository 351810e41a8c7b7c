import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import { sharedGateway } from './shared-gateway.ts'
import { openSocket } from './sockets/socket-client.ts'

// What a provider may do to its sockets: by which models it works, how many turns it begins, and what is left open of it.
const gateway = await sharedGateway()
const realtime = '/v1/realtime?model=gpt-realtime'
const allowedModels = [
  { provider: 'openai', model: 'gpt-realtime' },
  { provider: 'openai', model: 'whisper-1' },
]

test('an event that names a model twice, at any depth of its session, is refused and does not reach the provider', async () => {
  const project = await gateway.newProject({ ownCredential: true, allowedModels })
  const client = await openSocket(gateway, realtime, project.apiKey)
  await client.until('session.created')
  const transcription = (inner: string) =>
    `{"type":"session.update","session":{"type":"realtime","audio":{"input":{"transcription":${inner}}}}}`
  const events = [
    '{"type":"session.update","session":{"model":"gpt-realtime-mini","model":"gpt-realtime"}}',
    transcription('{"model":"gpt-4o-transcribe","model":"whisper-1"}'),
    transcription('{"model":"gpt-4o-transcribe"},"transcription":{"model":"whisper-1"}'),
    '{"type":"response.create","response":{"model":"gpt-realtime-mini","model":"gpt-realtime"}}',
  ]
  for (const event of events) client.socket.send(event)
  const errors = await client.until('error', events.length)
  for (const { error } of errors) assert.match(error.message, /twice/)
  client.send({ type: 'session.update', session: { type: 'realtime', instructions: 'x' } })
  await client.until('session.updated', 1)
  client.socket.close()
  await client.closed
  assert.deepEqual(gateway.eventsOf(project.projectId), [])
})

test('a call whose session names a model twice is not made', async () => {
  const project = await gateway.newProject({ allowedModels, settings: { path_classes: { realtime_calls: true } } })
  const form = new FormData()
  form.set('sdp', 'v=0\r\n')
  form.set('session', '{"type":"realtime","model":"gpt-realtime-mini","model":"gpt-realtime"}')
  const answer = await fetch(`${gateway.url}/v1/realtime/calls`, {
    method: 'POST',
    headers: { authorization: `Bearer ${project.apiKey}` },
    body: form,
  })
  assert.equal(answer.status, 400)
  assert.match(await answer.text(), /twice/)
})

/** A provider of a project's own that does as it likes. */
async function ownProvider(
  t: TestContext,
  onConnection: (socket: WebSocket) => void,
  options: ServerOptions = {},
): Promise<{ base_url: string; provider: WebSocketServer }> {
  const provider = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options })
  provider.on('connection', onConnection)
  await once(provider, 'listening')
  t.after(() => {
    for (const socket of provider.clients) socket.terminate()
    provider.close()
  })
  return { base_url: `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`, provider }
}

test('a provider that says it works by a model which is not allowed is given up; a dated name of an allowed one is that one', async t => {
  let named: object = {}
  const { base_url } = await ownProvider(t, socket =>
    socket.send(JSON.stringify({ type: 'session.created', session: { type: 'realtime', ...named } })),
  )
  const project = await gateway.newProject({ allowedModels, integrations: { openai: { base_url, api_key: 'sk-x' } } })
  const hears = (model: string) => ({ audio: { input: { transcription: { model } } } })
  for (named of [{ model: 'gpt-realtime-mini' }, { model: 'gpt-realtime', ...hears('gpt-4o-transcribe') }]) {
    const client = await openSocket(gateway, realtime, project.apiKey)
    const [told] = await client.until('error')
    assert.equal(told?.error.code, 'model_not_allowed')
    await client.closed
  }
  named = { model: 'gpt-realtime-2025-08-28', ...hears('whisper-1') }
  const client = await openSocket(gateway, realtime, project.apiKey)
  await client.until('session.created')
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.equal(client.socket.readyState, client.socket.OPEN)
  client.socket.close()
  await client.closed
})

test('a provider that begins turn after turn and ends none is given up beyond 64; what it has begun is settled', async t => {
  const { base_url, provider } = await ownProvider(t, socket => {
    for (let turn = 0; turn < 1_000; turn++)
      socket.send(
        JSON.stringify({
          type: 'response.created',
          stream_id: `lane_${turn}`,
          response: { id: `resp_${turn}`, model: 'gpt-5.4-mini', status: 'in_progress' },
        }),
      )
  })
  for (const path of [realtime, '/v1/responses']) {
    const project = await gateway.newProject({ integrations: { openai: { base_url, api_key: 'sk-x' } } })
    const client = await openSocket(gateway, path, project.apiKey)
    const closed = await client.closed
    assert.equal(closed.code, 1011, path)
    assert.match(closed.reason, /more than 64 turns/)
    const told = client.events.at(-1)
    assert.deepEqual([told?.type, told?.status], ['error', 502])
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length >= 65 && found
    })
    assert.equal(events.length, 65)
    for (const event of events) assert.deepEqual([event.status, event.error_code], ['failed', 'provider_unreachable'])
    await eventually(() => provider.clients.size === 0)
  }
})

test('the 65th turn that a client asks for is refused, whether those before it wait or run, and nothing of them is lost', async t => {
  const end: (() => void)[] = []
  const { base_url } = await ownProvider(t, socket => {
    let asked = 0
    socket.on('message', () => {
      const response = { id: `resp_${asked++}`, model: 'gpt-realtime', status: 'in_progress' }
      // Half of them begin.
      if (asked % 2 === 1) socket.send(JSON.stringify({ type: 'response.created', response }))
      end.push(() =>
        socket.send(
          JSON.stringify({
            type: 'response.done',
            response: {
              ...response,
              status: 'completed',
              usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
            },
          }),
        ),
      )
    })
  })
  const project = await gateway.newProject({ integrations: { openai: { base_url, api_key: 'sk-x' } } })
  const client = await openSocket(gateway, realtime, project.apiKey)
  const ask = () => client.send({ type: 'response.create', response: { conversation: 'none' } })
  for (let turn = 0; turn < 64; turn++) ask()
  await client.until('response.created', 32)
  ask()
  const [refused] = await client.until('error')
  assert.deepEqual([refused?.status, refused?.error.code], [503, 'overloaded'])
  await eventually(() => end.length === 64)
  for (const act of end) act()
  await client.until('response.done', 64)
  assert.equal(client.socket.readyState, client.socket.OPEN)
  client.socket.close()
  const events = await eventually(() => {
    const found = gateway.eventsOf(project.projectId)
    return found.length >= 64 && found
  })
  assert.deepEqual(
    events.map(({ status }) => status),
    Array(64).fill('completed'),
  )
})

test('a handshake that cannot be completed leaves no socket open at the provider', async t => {
  let asked = 0
  const { base_url, provider } = await ownProvider(t, () => undefined, {
    verifyClient: (_, done) => {
      asked++
      setTimeout(() => done(true), 100)
    },
  })
  const { apiKey } = await gateway.newProject({ integrations: { openai: { base_url, api_key: 'sk-x' } } })
  const head = (more = '') =>
    `GET /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${apiKey}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`
  for (const bad of [
    'sec-websocket-protocol: a, a',
    'sec-websocket-protocol: a,,b',
    'sec-websocket-extensions: permessage-deflate; server_max_window_bits=99',
    'sec-websocket-extensions: permessage-deflate; no_such_thing',
    'sec-websocket-extensions: permessage-deflate;;',
  ]) {
    const answer = await gateway.raw(head(`${bad}\r\n`))
    assert.match(answer, /^HTTP\/1\.1 400 /, bad)
    assert.match(answer, /"type":"invalid_request_error"/, bad)
  }
  assert.equal(asked, 0, 'no provider is asked for the sake of one that cannot be')
  for (const good of ['', 'sec-websocket-extensions: permessage-deflate; client_max_window_bits, other; x="y"\r\n'])
    assert.match(await gateway.raw(head(good)), /^HTTP\/1\.1 101 /)
  // One that says nothing more while the provider is asked.
  const { hostname, port } = new URL(gateway.url)
  connect(Number(port), hostname).end(head())
  await eventually(() => asked === 3)
  await new Promise(resolve => setTimeout(resolve, 300))
  await eventually(() => provider.clients.size === 0, { message: 'the provider to be left' })
})

test('a provider that begins turns whatever it is told hears once for each change of its session that it must not', async t => {
  const session = {
    type: 'realtime',
    audio: { input: { turn_detection: { type: 'server_vad', create_response: true } } },
  }
  let updates = 0
  const { base_url } = await ownProvider(t, socket => {
    updates = 0
    socket.send(JSON.stringify({ type: 'session.created', session }))
    socket.on('message', data => {
      const { type } = JSON.parse(String(data)) as { type: string }
      if (type === 'session.update') updates++
      const told = type === 'session.update' ? 'session.updated' : 'input_audio_buffer.cleared'
      socket.send(JSON.stringify({ type: told, session }))
    })
  })
  const project = await gateway.newProject({ integrations: { openai: { base_url, api_key: 'sk-x' } } })
  const budget = { name: 'Tiny', unit: 'usd', limit: '0.000001', window: 'day', mode: 'hard', hold: 'exact' }
  await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, budget)
  const client = await eventually(async () => {
    const opened = await openSocket(gateway, realtime, project.apiKey)
    await opened.until('session.created')
    const isTold = await eventually(() => opened.events.some(({ type }) => type === 'error'), { timeoutMs: 500 }).catch(
      () => false,
    )
    if (!isTold) opened.socket.terminate()
    return isTold && opened
  })
  assert.match(client.events.find(({ type }) => type === 'error')?.error.message, /Budget "Tiny" has too little left/)
  await eventually(() => updates >= 1)
  updates = 0
  client.send({ type: 'session.update', session: { type: 'realtime', instructions: 'x' } })
  await eventually(() => updates >= 2)
  for (let times = 1; times <= 5; times++) {
    client.send({ type: 'input_audio_buffer.clear' })
    await client.until('input_audio_buffer.cleared', times)
  }
  assert.equal(updates, 2, 'the client’s own, and one behind it')
  client.socket.close()
})
