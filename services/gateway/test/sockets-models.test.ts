import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { GatewayStack } from './gateway-stack.ts'
import { openSocket } from './sockets/socket-client.ts'

// Which models a realtime session may come to work by, whoever names them.
const gateway = await GatewayStack.start({ after }, { services: ['accounts', 'billing', 'gateway'] })
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

test('a provider that says it works by a model which is not allowed is given up; a dated name of an allowed one is that one', async t => {
  let named: object = {}
  const provider = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  provider.on('connection', socket =>
    socket.send(JSON.stringify({ type: 'session.created', session: { type: 'realtime', ...named } })),
  )
  await once(provider, 'listening')
  t.after(() => {
    for (const socket of provider.clients) socket.terminate()
    provider.close()
  })
  const base_url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`
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
