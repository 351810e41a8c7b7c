import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { scarceAndStrict, sharedGateway } from './shared-gateway.ts'

// Clients that leave: what reading on for them may hold.
const gateway = await sharedGateway(scarceAndStrict)
const settings = { on_client_abort: { openai: 'drain', anthropic: 'drain' } }

async function metric(name: string): Promise<number> {
  const line = (await gateway.metrics()).split('\n').find(text => text.startsWith(`${name} `))
  assert.ok(line, `there is a metric ${name}`)
  return Number(line.split(' ')[1])
}

test('the body of a call whose client has left counts until the provider has it, and is let go then', async t => {
  const requests: [IncomingMessage, ServerResponse][] = []
  // It takes the head of a request, and nothing more until it is told to.
  const provider = createServer((request, response) => requests.push([request, response]))
  await once(provider.listen(0, '127.0.0.1'), 'listening')
  t.after(() => provider.close().closeAllConnections())
  const base_url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`
  const project = await gateway.newProject({ settings, integrations: { openai: { base_url, api_key: 'sk-x' } } })
  const words = 'The quick brown fox jumps over the lazy dog. '
  const body = JSON.stringify({
    model: 'gpt-5.4-mini',
    messages: [{ role: 'user', content: words.repeat(500_000) }],
  })
  const leave = new AbortController()
  const left = gateway.post('/v1/chat/completions', project.apiKey, body, { signal: leave.signal })
  await Promise.all([assert.rejects(left), eventually(() => requests.length === 1).then(() => leave.abort())])
  await eventually(async () => (await metric('gateway_drains')) === 1)
  assert.equal(await metric('gateway_body_memory_bytes'), body.length)
  const refused = await gateway.post('/v1/chat/completions', project.apiKey, body)
  const { error } = (await refused.json()) as { error: { code: string } }
  assert.deepEqual([refused.status, error.code], [503, 'overloaded'])

  const [request, response] = requests[0] as [IncomingMessage, ServerResponse]
  let received = 0
  request.on('data', chunk => {
    received += chunk.length
  })
  await once(request, 'end')
  assert.equal(received, body.length)
  await eventually(async () => (await metric('gateway_body_memory_bytes')) === 0)
  assert.equal(await metric('gateway_drains'), 1, 'its provider is still read on')
  // It tells no usage: the samples that were kept of the body have to do.
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.end('data: {"id":"c","choices":[{"index":0,"delta":{"content":"yes"}}]}\n\ndata: [DONE]\n\n')
  const [event] = await eventually(() => {
    const found = gateway.eventsOf(project.projectId)
    return found.length > 0 && found
  })
  assert.deepEqual([event?.status, event?.provenance.in_text], ['aborted', 'estimated'])
  // Ten words and a full stop a sentence.
  const tokens = event?.quantities.in_text ?? 0
  assert.ok(tokens > 4_750_000 && tokens < 5_750_000, `${tokens}`)
  await eventually(async () => (await metric('gateway_drains')) === 0)
})

test('beyond their number a client that leaves stops its provider, as under cancel', async () => {
  const project = await gateway.newProject({ ownCredential: true, settings })
  const clients: AbortController[] = []
  for (let i = 0; i < 3; i++) {
    const client = new AbortController()
    const content = '[[sim output_tokens=150 delay_ms=20]]'
    const answer = await gateway.post(
      '/v1/chat/completions',
      project.apiKey,
      { model: 'gpt-5.4-mini', stream: true, messages: [{ role: 'user', content }] },
      { signal: client.signal },
    )
    await answer.body?.getReader().read()
    clients.push(client)
  }
  for (const client of clients) client.abort()
  const events = await eventually(() => {
    const found = gateway.eventsOf(project.projectId)
    return found.length === 3 && found
  })
  assert.deepEqual(events.map(event => event.error_code ?? event.provenance.out_text).sort(), [
    'client_closed',
    'drained',
    'drained',
  ])
  const bills = await gateway.billsOf(project)
  assert.deepEqual(bills.map(({ ended }) => ended).sort(), ['aborted', 'completed', 'completed'])
  assert.deepEqual([await metric('gateway_drains'), await metric('gateway_drains_refused_total')], [0, 1])
})
