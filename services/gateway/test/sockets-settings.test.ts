import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from '@sluice/stack'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { startScriptedProvider } from './scripted-provider.ts'
import { scarceAndStrict, sharedGateway } from './shared-gateway.ts'
import { openSocket, refusedUpgrade } from './sockets/socket-client.ts'

// What an operator sets: how many sockets, from where, and how safe their records are.
const gateway = await sharedGateway(scarceAndStrict)
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

test('what the operator sets as access to a provider is what calls go by that have no other, at once and until it is taken away', async t => {
  const provider = await startScriptedProvider()
  t.after(() => provider.close())
  const script = provider.add({
    chunks: [JSON.stringify({ id: 'x', object: 'chat.completion', model, choices: [] })],
  })
  const [bare, own] = [await gateway.newProject(), await gateway.newProject({ ownCredential: true })]
  const idle = await openSocket(gateway, '/v1/responses', bare.apiKey)
  idle.send({ type: 'response.create', model, input: '[[sim output_tokens=3]]' })
  await idle.until('response.completed')
  const kept = await openSocket(gateway, '/v1/responses', own.apiKey)
  kept.send({ type: 'response.create', model, input: '[[sim output_tokens=3]]' })
  await kept.until('response.completed')

  const call = async (apiKey: string) => {
    const body = { model, max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }
    const answer = await gateway.post('/v1/chat/completions', apiKey, body, { headers: { 'x-script': script } })
    await answer.arrayBuffer()
    return answer
  }
  const servedBy = async (apiKey: string) => (await call(apiKey)).headers.get('sluice-served-by')
  const path = '/accounts/managed-integrations/openai'
  const managed = { base_url: `${provider.url}/v1`, api_key: 'sk-of-the-operator', organization: 'org-operator' }
  t.after(() => gateway.manage('DELETE', path).catch(() => undefined))
  await gateway.manage('PUT', path, managed)
  const changedAt = performance.now()
  await eventually(async () => (await servedBy(bare.apiKey)) === new URL(provider.url).host, { intervalMs: 1 })
  t.diagnostic(`in force ${(performance.now() - changedAt).toFixed(1)} ms after the answer (promise: 100)`)
  const { headers } = provider.seen.at(-1) ?? {}
  assert.deepEqual(
    [headers?.authorization, headers?.['openai-organization']],
    [`Bearer ${managed.api_key}`, managed.organization],
  )
  assert.equal((await idle.closed).code, 1012)
  assert.equal(await servedBy(own.apiKey), new URL(gateway.stack.simulatorUrl).host)
  kept.send({ type: 'response.create', model, input: '[[sim output_tokens=3]]' })
  await kept.until('response.completed', 2)
  kept.socket.close()
  const event = await gateway.eventOf((await call(bare.apiKey)).headers.get('sluice-call-id'))
  assert.equal(event.paid_by, 'managed')

  const tested = await gateway.manage('POST', `${path}/test`)
  assert.deepEqual([tested.body.ok, tested.body.http_status], [false, 404])
  await gateway.manage('PUT', path, { ...managed, base_url: `${gateway.stack.simulatorUrl}/v1` })
  const works = await gateway.manage('POST', `${path}/test`)
  assert.deepEqual([works.body.ok, works.body.http_status], [true, 200], works.body.message)

  await gateway.manage('DELETE', path)
  await eventually(async () => (await servedBy(bare.apiKey)) === 'simulator')
})

/** The command of a gateway beside ours that may open so many files. */
async function withFiles(openFiles: number, { GATEWAY_MAX_SOCKETS }: { GATEWAY_MAX_SOCKETS?: string } = {}) {
  const { env, args, bundledArgs = args, cwd } = gateway.stack.services.gateway.plan
  const [port, operatorPort] = [await freePort(), await freePort()]
  return {
    args: ['-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, process.execPath, ...bundledArgs],
    options: {
      cwd,
      env: {
        ...env,
        GATEWAY_MAX_SOCKETS,
        GATEWAY_PORT: String(port),
        GATEWAY_OPERATOR_PORT: String(operatorPort),
        GATEWAY_JOURNAL_DIR: join(gateway.stack.home, `journal-${port}`),
      },
    },
    url: `http://127.0.0.1:${port}`,
    readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
  }
}

async function startWithFiles(t: TestContext, openFiles: number): Promise<{ url: string }> {
  const { args, options, url, readyUrl } = await withFiles(openFiles)
  const child = spawn('sh', args, { ...options, stdio: 'ignore' })
  t.after(async () => {
    const ended = once(child, 'exit')
    if (child.kill('SIGKILL')) await ended
  })
  const isReady = () =>
    fetch(readyUrl).then(
      ({ ok }) => ok,
      () => false,
    )
  await eventually(isReady)
  return { url }
}

test('unset, as many sockets are held as the limit of open files has room for: one more is 503, and calls go on', async t => {
  const { apiKey } = await gateway.newProject()
  const small = await startWithFiles(t, 240)
  const open = await Promise.all(Array.from({ length: 20 }, () => openSocket(small, '/v1/responses', apiKey)))
  for (let tries = 0; tries < 3; tries++) {
    const refused = await refusedUpgrade(small, '/v1/responses', { headers: { authorization: `Bearer ${apiKey}` } })
    assert.deepEqual([refused.status, refused.body.error.code], [503, 'overloaded'])
  }
  const answer = await fetch(`${small.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Say it.' }] }),
  })
  assert.equal(answer.status, 200, await answer.text())
  for (const client of open) client.send({ type: 'response.create', model, input: '[[sim output_tokens=3]]' })
  await Promise.all(open.map(client => client.until('response.completed')))
})

test('a number of sockets that the limit of open files cannot hold is a problem of the configuration', async () => {
  const { args, options } = await withFiles(240, { GATEWAY_MAX_SOCKETS: '21' })
  await assert.rejects(promisify(execFile)('sh', [...args, '--check-config'], options), ({ stderr }) => {
    assert.match(stderr, /GATEWAY_MAX_SOCKETS=21 needs 242 open files .* may open 240: raise that .* or set 20 at most/)
    return true
  })
})
