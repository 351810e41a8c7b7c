import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { GatewayStack } from './gateway-stack.ts'
import { openSocket, refusedUpgrade } from './sockets/socket-client.ts'

// What an operator sets: how many sockets, from where, and how safe their records are.
const gateway = await GatewayStack.start(
  { after },
  {
    services: ['accounts', 'billing', 'gateway'],
    env: { GATEWAY_MAX_SOCKETS: '3', GATEWAY_SOCKET_ORIGINS: 'https://app.example', GATEWAY_JOURNAL: 'strict' },
  },
)
const model = 'gpt-5.4-mini'
const realtime = '/v1/realtime?model=gpt-realtime'

test('in the strict journal turns wait for their record and settle to the provider’s bill, in the order they were sent', async () => {
  const project = await gateway.newProject({ ownCredential: true })
  const client = await openSocket(gateway, '/v1/responses', project.apiKey)
  const inputs = [3, 14, 15, 92, 65]
  for (const tokens of inputs) client.send({ type: 'response.create', model, input: `[[sim output_tokens=${tokens}]]` })
  const done = await client.until('response.completed', inputs.length)
  assert.deepEqual(
    done.map(({ response }) => response.usage.output_tokens),
    inputs,
  )
  client.socket.close()
  await client.closed
  const speaking = await openSocket(gateway, realtime, project.apiKey)
  speaking.send({ type: 'response.create' })
  await speaking.until('response.done')
  speaking.socket.close()
  await speaking.closed
  const events = await eventually(() => {
    const found = gateway.eventsOf(project.projectId)
    return found.length === inputs.length + 1 && found
  })
  const bills = await gateway.billsOf(project)
  for (const event of events)
    assert.equal(event.cost_nano_usd, bills.find(bill => bill.response_id === event.response_id)?.cost_nano_usd)
})

test('calls that this gateway joins count as sockets: beyond their number they are not made', async () => {
  const project = await gateway.newProject({
    ownCredential: true,
    settings: { path_classes: { realtime_calls: true } },
  })
  const open = await Promise.all([1, 2, 3].map(() => openSocket(gateway, '/v1/responses', project.apiKey)))
  const calls = gateway.openai(project.apiKey).realtime.calls
  const offer = { sdp: 'v=0\r\n', session: { type: 'realtime' as const, model: 'gpt-realtime' } }
  await assert.rejects(calls.create(offer), (error: unknown) => {
    assert.ok(error instanceof OpenAI.APIError)
    assert.deepEqual([error.status, error.code], [503, 'overloaded'])
    return true
  })
  for (const client of open) client.socket.close()
  await Promise.all(open.map(client => client.closed))
  const made = await eventually(() => calls.create(offer).catch(() => undefined))
  await calls.hangup(made.headers.get('location')?.split('/').at(-1) ?? '')
})

test('beyond their number sockets are refused with 503, and one that closes makes room', async () => {
  const { apiKey } = await gateway.newProject()
  const open = await Promise.all([1, 2, 3].map(() => openSocket(gateway, '/v1/responses', apiKey)))
  const refused = await refusedUpgrade(gateway, '/v1/responses', { headers: { authorization: `Bearer ${apiKey}` } })
  assert.deepEqual([refused.status, refused.body.error.code, refused.headers['retry-after']], [503, 'overloaded', '1'])
  for (const client of open) client.socket.close()
  await eventually(async () => {
    const again = await openSocket(gateway, '/v1/responses', apiKey)
    again.socket.close()
    return true
  })
})

test('browsers connect from the listed origins alone; what is no browser sends none', async () => {
  const { apiKey } = await gateway.newProject()
  const from = (origin: string) => ({
    headers: { origin },
    protocols: ['realtime', `openai-insecure-api-key.${apiKey}`],
  })
  const refused = await refusedUpgrade(gateway, realtime, from('https://evil.example'))
  assert.deepEqual([refused.status, refused.body.error.code], [403, 'origin_not_allowed'])
  for (const [credential, options] of [
    [undefined, from('https://app.example')],
    [apiKey, {}],
  ] as const) {
    const client = await openSocket(gateway, realtime, credential, options)
    await client.until('session.created')
    client.socket.close()
    await client.closed
  }
})
