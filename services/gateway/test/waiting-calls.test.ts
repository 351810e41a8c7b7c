import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openBucket } from '@sluice/bus'
import { BackgroundResponse, Budget, Cutoff, cutoffKey, Key, Project } from '@sluice/contracts'
import { freePort, type ServiceProcess, startService } from '@sluice/stack'
import { busOf, eventually } from '@sluice/test-env'
import { keyOf } from '../src/views/stored-responses-view.ts'
import { mintToken } from './access/mint-token.ts'
import { adminStop } from './admin-stop.ts'
import { startAlteredProvider } from './altered-provider.ts'
import type { TestProject } from './gateway-stack.ts'
import { formOf, soundOf } from './media/files.ts'
import { sharedGateway } from './shared-gateway.ts'
import { openSocket, refusedUpgrade, untilHungUp } from './sockets/socket-client.ts'
import { type HeldWay, startHeldWay } from './waiting/held-way.ts'
import { trickle } from './waiting/trickled-request.ts'

// What is taken away from a call while it waits, for its body or for a record: it counts as if it had come just now.
const gateway = await sharedGateway()
const bus = busOf(gateway.stack.natsAdmin)
const classes = { settings: { path_classes: { stored: true, batches: true, free: true } } }

const asJson = (body: object) => ({ type: 'application/json', body: Buffer.from(JSON.stringify(body)) })
const message = { max_tokens: 20, messages: [{ role: 'user', content: 'Say it.' }] }
const batchLine = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: { model: 'gpt-5.4-mini' } }
/** Every way in which a body is received, with a model that the call names. */
const requests = {
  'a chat': ['/v1/chat/completions', asJson({ model: 'gpt-5.4-mini', messages: message.messages })],
  'a response': ['/v1/responses', asJson({ model: 'gpt-5.4-mini', input: 'Say it.' })],
  'a response in the background': [
    '/v1/responses',
    asJson({ model: 'gpt-5.4-mini', input: 'Say it.', background: true }),
  ],
  'a speech': ['/v1/audio/speech', asJson({ model: 'tts-1', input: 'Say it.', voice: 'alloy' })],
  'a form with sound': [
    '/v1/audio/transcriptions',
    formOf([
      { name: 'model', value: 'whisper-1' },
      { name: 'file', value: soundOf('wav', 3_000), file: 'a.wav' },
    ]),
  ],
  'a batch of messages': [
    '/anthropic/v1/messages/batches',
    asJson({ requests: [{ custom_id: 'a', params: { model: 'claude-haiku-4-5', ...message } }] }),
  ],
  'a file for a batch': [
    '/v1/files',
    formOf([
      { name: 'purpose', value: 'batch' },
      { name: 'file', value: JSON.stringify(batchLine), file: 'requests.jsonl' },
    ]),
  ],
} as const satisfies Record<string, readonly [string, { type: string; body: Buffer }]>
type RequestName = keyof typeof requests
const names = Object.keys(requests) as RequestName[]

/** As everybody else sees a credential now: what `GET /models` says to it. */
async function modelsFor(credential: string, origin = gateway.url) {
  const answer = await fetch(`${origin}/v1/models`, { headers: { authorization: `Bearer ${credential}` } })
  return { status: answer.status, text: await answer.text(), servedBy: answer.headers.get('sluice-served-by') }
}
const answersWith = (status: number, credential: string, origin?: string) =>
  eventually(async () => (await modelsFor(credential, origin)).status === status)

const revoke = async ({ projectId, keyId, apiKey }: TestProject, origin?: string) => {
  await gateway.manage('DELETE', `/accounts/projects/${projectId}/api-keys/${keyId}`)
  await answersWith(401, apiKey, origin)
}
async function changeProject({ projectId }: TestProject, change: Partial<Project>): Promise<void> {
  const projects = await openBucket(bus, 'projects', Project)
  const project = await projects.get(projectId)
  assert.ok(project)
  await projects.put(projectId, { ...project, ...change })
}

/** What calls of a project have cost or asked of a provider. */
const eventsOf = ({ projectId }: TestProject, endpoint?: string) =>
  gateway.eventsOf(projectId).filter(event => endpoint === undefined || event.endpoint === endpoint)

/** Sends half of each request, changes something, sends the rest. */
async function changedMeanwhile(
  asked: readonly RequestName[],
  project: TestProject,
  change: () => Promise<unknown>,
  credential = project.apiKey,
) {
  const trickled = await Promise.all(
    asked.map(async name => trickle(gateway.url, requests[name][0], credential, requests[name][1])),
  )
  await change()
  const answers = await Promise.all(trickled.map(request => request.finish()))
  return answers.map(({ status, text }, index) => ({ name: asked[index], status, text }))
}

suite('what changes while a body is received', () => {
  test('a request that arrives slowly is served where nothing has changed', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const answers = await changedMeanwhile(names, project, async () => {})
    assert.deepEqual(
      answers.map(({ name, status }) => [name, status]),
      names.map(name => [name, 200]),
      answers.map(({ text }) => text).join('\n\n'),
    )
    await eventually(() => eventsOf(project).length >= names.length)
  })

  test('a key that is revoked meanwhile: 401, and nothing reaches the provider', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const answers = await changedMeanwhile(names, project, () => revoke(project))
    for (const { name, status, text } of answers) assert.equal(status, 401, `${name}: ${text}`)
    assert.deepEqual([eventsOf(project), await gateway.billsOf(project)], [[], []])
  })

  test('a token goes by its key of now: models taken from it 403, its secret at an end 401, the key revoked 401', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const keys = await openBucket(bus, 'keys', Key)
    const key = await keys.get(project.keyId)
    assert.ok(key)
    const token = await mintToken(project.apiKey)
    const statusesAfter = async (change: () => Promise<unknown>) => {
      // Its signature is verified before: nothing of it is still under way when the key changes.
      await answersWith(200, token)
      const answers = await changedMeanwhile(['a chat', 'a speech'], project, change, token)
      return answers.map(({ status }) => status)
    }
    const narrowed = await statusesAfter(async () => {
      await keys.put(project.keyId, { ...key, version: key.version + 1, models: ['openai/gpt-*'] })
      await eventually(async () => !(await modelsFor(project.apiKey)).text.includes('tts-1'))
    })
    assert.deepEqual(narrowed, [200, 403])
    const ended = await statusesAfter(async () => {
      const secrets = key.secrets.map(secret => ({ ...secret, expires_at_ms: Date.now() - 1 }))
      await keys.put(project.keyId, { ...key, version: key.version + 2, secrets })
      await answersWith(401, project.apiKey)
    })
    assert.deepEqual(ended, [401, 401])
    await keys.put(project.keyId, { ...key, version: key.version + 3 })
    assert.deepEqual(await statusesAfter(() => revoke(project)), [401, 401])
    await eventually(() => eventsOf(project).length >= 1)
    assert.equal((await gateway.billsOf(project)).length, 1)
  })

  test('a project that is disabled meanwhile: 403, and nothing reaches the provider', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const answers = await changedMeanwhile(names, project, async () => {
      await changeProject(project, { disabled: true })
      await answersWith(403, project.apiKey)
    })
    for (const { name, status, text } of answers) {
      assert.equal(status, 403, `${name}: ${text}`)
      assert.match(text, /is disabled/)
    }
    assert.deepEqual([eventsOf(project), await gateway.billsOf(project)], [[], []])
  })

  test('models that are taken out of the project’s list meanwhile are refused, also in a batch', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const withModel = names.filter(name => name !== 'a file for a batch')
    const answers = await changedMeanwhile(withModel, project, async () => {
      await gateway.manage('PUT', `/accounts/projects/${project.projectId}/settings/router`, { allowedModels: [] })
      await eventually(async () => !(await modelsFor(project.apiKey)).text.includes('gpt-5.4-mini'))
    })
    for (const { name, status, text } of answers) {
      assert.equal(status, 403, `${name}: ${text}`)
      assert.match(text, /is not allowed for this credential or project/)
    }
    assert.deepEqual([eventsOf(project), await gateway.billsOf(project)], [[], []])
  })

  test('a class of paths that is closed meanwhile is closed', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const ofClass = ['a response in the background', 'a file for a batch'] as const
    const answers = await changedMeanwhile(ofClass, project, async () => {
      const settings = { path_classes: { stored: false, batches: false, free: false } }
      await gateway.manage('PUT', `/accounts/projects/${project.projectId}/settings`, settings)
      await eventually(async () => {
        const answer = await fetch(`${gateway.url}/v1/files`, { headers: { 'x-api-key': project.apiKey } })
        await answer.arrayBuffer()
        return answer.status === 403
      })
    })
    for (const { name, status, text } of answers) {
      assert.equal(status, 403, `${name}: ${text}`)
      assert.match(text, /belongs to the path class/)
    }
    assert.deepEqual(await gateway.billsOf(project), [])
  })

  test('a credential of the provider that is replaced meanwhile is not used any more', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const { port } = new URL(gateway.stack.simulatorUrl)
    const replaced = { ...project, credential: `${project.credential}-new` }
    const asked = ['a chat', 'a response', 'a speech', 'a form with sound'] as const
    const answers = await changedMeanwhile(asked, project, async () => {
      await gateway.manage('PUT', `/accounts/projects/${project.projectId}/settings/openai`, {
        base_url: `http://localhost:${port}/v1`,
        api_key: replaced.credential,
      })
      await eventually(async () => (await modelsFor(project.apiKey)).servedBy === `localhost:${port}`)
    })
    for (const { name, status, text } of answers) assert.equal(status, 200, `${name}: ${text}`)
    assert.equal((await gateway.billsOf(project)).length, 0)
    assert.equal((await gateway.billsOf(replaced)).length, asked.length)
  })

  test('a batch that was read for the project’s own credential never goes out under the operator’s', async () => {
    const project = await gateway.newProject({ ownCredential: true, ...classes })
    const asked = ['a batch of messages', 'a file for a batch'] as const
    const answers = await changedMeanwhile(asked, project, async () => {
      await changeProject(project, { integrations: [] })
      await eventually(async () => (await modelsFor(project.apiKey)).servedBy === 'simulator')
    })
    // The file is read when it is whole, for the credential of then.
    assert.deepEqual(
      answers.map(({ status }) => status),
      [503, 200],
      answers.map(({ text }) => text).join('\n\n'),
    )
    assert.match(answers[0]?.text ?? '', /integration has changed/)
  })
})

suite('what changes while a record or the provider is waited for', () => {
  let heldBus: HeldWay
  let heldProvider: HeldWay
  let origin: string
  let second: ServiceProcess

  // A second gateway, whose words to NATS can be held back; projects may send theirs to the provider by such a way, too.
  before(async () => {
    const { plan } = gateway.stack.services.gateway
    heldBus = await startHeldWay(plan.env.NATS_URL ?? '')
    heldProvider = await startHeldWay(gateway.stack.simulatorUrl)
    const [port, operatorPort] = [await freePort(), await freePort()]
    const home = join(gateway.stack.home, 'second')
    mkdirSync(join(home, 'logs'), { recursive: true })
    const env = {
      ...plan.env,
      GATEWAY_PORT: String(port),
      GATEWAY_OPERATOR_PORT: String(operatorPort),
      GATEWAY_JOURNAL_DIR: join(home, 'journal'),
      NATS_URL: `nats://${heldBus.host}`,
    }
    origin = `http://127.0.0.1:${port}`
    const readyUrl = `http://127.0.0.1:${operatorPort}/health/ready`
    second = await startService({ ...plan, env, url: origin, readyUrl }, { home, restart: false, log: () => {} })
    await second.untilReady()
  })
  after(async () => {
    await second.stop()
    heldBus.close()
    heldProvider.close()
  })

  const send = async (project: TestProject, path: string, body: object) => {
    const answer = await fetch(`${origin}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${project.apiKey}` },
      body: JSON.stringify(body),
    })
    return { status: answer.status, text: await answer.text() }
  }
  /** Sends a request whose look-up is held back, changes something, lets it go on. */
  async function heldAt(words: string, project: TestProject, path: string, body: object, change: () => Promise<void>) {
    await answersWith(200, project.apiKey, origin)
    const said = heldBus.holdFrom(words)
    const answer = send(project, path, body)
    await said
    await change()
    heldBus.release()
    return answer
  }
  /** A response of the project, of which only the first gateway knows by itself. */
  async function madeElsewhere(project: TestProject): Promise<string> {
    const made = await gateway.post('/v1/responses', project.apiKey, { model: 'gpt-5.4-mini', input: 'Say it.' })
    const { id } = (await made.json()) as { id: string }
    await eventually(() => eventsOf(project, 'responses').length === 1)
    return id
  }
  const goOn = (previous_response_id: string) => ({ model: 'gpt-5.4-mini', input: 'Go on.', previous_response_id })

  for (const path of ['/v1/responses', '/v1/responses/compact'] as const) {
    test(`a look-up on ${path} with nothing changed is answered 200, with the key revoked 401`, async () => {
      const project = await gateway.newProject()
      const id = await madeElsewhere(project)
      const served = await heldAt('KV_made-objects', project, path, goOn(id), async () => {})
      assert.equal(served.status, 200, served.text)
      const before = await eventually(() => eventsOf(project).length === 2 && eventsOf(project).length)
      const refused = await heldAt('KV_made-objects', project, path, goOn(id), () => revoke(project, origin))
      assert.equal(refused.status, 401, refused.text)
      assert.equal(eventsOf(project).length, before)
    })
  }

  /** A budget for everything that a project asks for, stopped and set free again at both gateways. */
  async function withStop(project: TestProject) {
    const { body: budget } = await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, {
      name: 'All',
      unit: 'usd',
      limit: '100',
      window: 'total',
    })
    const cutoffs = await openBucket(bus, 'cutoffs', Cutoff)
    let version = 0
    const put = async (active: boolean): Promise<void> => {
      const stop = adminStop(project.projectId, budget.id, { version: ++version, active })
      await cutoffs.put(cutoffKey(budget.id, ''), stop)
      const chat = { model: 'gpt-5.4-mini', messages: message.messages }
      const status = active ? 403 : 200
      await eventually(async () => (await send(project, '/v1/chat/completions', chat)).status === status)
    }
    return { budgetId: budget.id, stop: () => put(true), lift: () => put(false) }
  }

  /** A stream that goes on for minutes, under way at the second gateway, and all that is said in it. */
  async function longStream(project: TestProject) {
    await answersWith(200, project.apiKey, origin)
    const answer = await fetch(`${origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${project.apiKey}` },
      body: JSON.stringify({
        model: 'gpt-5.4-mini',
        stream: true,
        messages: [{ role: 'user', content: '[[sim output_tokens=40000 delay_ms=20]]' }],
      }),
    })
    assert.ok(answer.body)
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let said = (await reader.read()).value ?? ''
    return async () => {
      for (let part = await reader.read(); !part.done; part = await reader.read()) said += part.value
      const { status } = await eventually(() => eventsOf(project).find(({ streamed }) => streamed))
      return { said, status }
    }
  }

  test('a budget that is made and stopped while a call runs ends that call too', async () => {
    const project = await gateway.newProject()
    const end = await longStream(project)
    const { stop } = await withStop(project)
    await stop()
    const { said, status } = await end()
    assert.match(said, /stopped_by_admin/)
    assert.equal(status, 'cut')
  })

  test('a budget that is heard of later than its cutoff ends what runs', async () => {
    const project = await gateway.newProject()
    const { budgetId: like } = await withStop(project)
    const end = await longStream(project)
    const budgets = await openBucket(bus, 'budgets', Budget)
    const made = await budgets.get(like)
    assert.ok(made)
    const budgetId = `late-${randomUUID()}`
    const cutoffs = await openBucket(bus, 'cutoffs', Cutoff)
    await cutoffs.put(cutoffKey(budgetId, ''), adminStop(project.projectId, budgetId, { version: 1, active: true }))
    await budgets.put(budgetId, { ...made, budget_id: budgetId })
    const { said, status } = await end()
    assert.match(said, /stopped_by_admin/)
    assert.equal(status, 'cut')
  })

  test('a budget that is cut off during a look-up stops the call that waits for it', async () => {
    const project = await gateway.newProject()
    const id = await madeElsewhere(project)
    const { stop } = await withStop(project)
    const refused = await heldAt('KV_made-objects', project, '/v1/responses', goOn(id), stop)
    assert.equal(refused.status, 403, refused.text)
    assert.match(refused.text, /stopped_by_admin/)
    assert.equal(eventsOf(project, 'responses').length, 1)
  })

  /** A project whose words to the provider can be held back, known to the second gateway. */
  async function heldProject(): Promise<TestProject> {
    const project = await gateway.newProject({
      settings: { path_classes: { realtime_calls: true } },
      integrations: { openai: { base_url: `http://${heldProvider.host}/v1`, api_key: `sk-${randomUUID()}` } },
    })
    await eventually(async () => (await modelsFor(project.apiKey, origin)).servedBy === heldProvider.host)
    return project
  }
  const turn = (input: string, more = {}) => ({ type: 'response.create', model: 'gpt-5.4-mini', input, ...more })
  const turnsOf = (project: TestProject) => eventsOf(project, 'responses.websocket')

  test('a response that another gateway has just taken to look at is waited for, and then deleted', async t => {
    const provider = await startAlteredProvider(gateway.stack.simulatorUrl)
    t.after(() => provider.close())
    provider.alter = method => (method === 'GET' ? { status: 500, body: '{}' } : undefined)
    const credential = `sk-${randomUUID()}`
    const project = {
      ...(await gateway.newProject({
        ...classes,
        integrations: { openai: { base_url: `${provider.url}/v1`, api_key: credential } },
      })),
      credential,
    }
    await eventually(async () => (await modelsFor(project.apiKey, origin)).servedBy === new URL(provider.url).host)
    const asked = { model: 'gpt-5.4-mini', input: 'Say it. [[sim output_tokens=1]]', background: true }
    const { id } = (await (await gateway.post('/v1/responses', project.apiKey, asked)).json()) as { id: string }
    await eventually(async () => (await gateway.billsOf(project))[0]?.ended === 'completed')
    const running = await openBucket(bus, 'background-responses', BackgroundResponse)
    const key = keyOf(project.projectId, id)
    const take = async (): Promise<void> => {
      const record = await running.get(key)
      assert.ok(record)
      await running.put(key, { ...record, next_look_at_ms: Date.now() + 60_000 })
    }
    await take()
    // Looks that are under way end.
    await delay(300)
    const said = heldBus.holdFrom('HPUB $KV.background-responses')
    const deleted = fetch(`${origin}/v1/responses/${id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${project.apiKey}` },
    })
    await said
    await take()
    provider.alter = () => undefined
    heldBus.release()
    const answer = await deleted
    assert.equal(answer.status, 200, await answer.text())
  })

  test('a budget that is cut off during the look-up of a socket’s turn stops that turn, a revoked key the socket', async () => {
    const project = await gateway.newProject()
    const ids = [await madeElsewhere(project)]
    for (const count of [2, 3]) {
      const made = await gateway.post('/v1/responses', project.apiKey, { model: 'gpt-5.4-mini', input: 'Say it.' })
      ids.push(((await made.json()) as { id: string }).id)
      await eventually(() => eventsOf(project, 'responses').length === count)
    }
    const { stop, lift } = await withStop(project)
    await answersWith(200, project.apiKey, origin)
    const client = await openSocket({ url: origin }, '/v1/responses', project.apiKey)
    const heldTurn = async (previous_response_id: string | undefined, change: () => Promise<unknown>) => {
      const said = heldBus.holdFrom('KV_made-objects')
      client.send(turn('Go on.', { previous_response_id }))
      await said
      await change()
      heldBus.release()
    }
    // Nothing has changed: it reaches the provider, which has this one on no socket.
    await heldTurn(ids[0], async () => {})
    const [notThere] = await client.until('error')
    assert.match(notThere.error.message, /not found\.$/)
    await heldTurn(ids[1], stop)
    const [, error] = await client.until('error', 2)
    assert.deepEqual([error.status, error.error.metadata.reason], [403, 'stopped_by_admin'])
    assert.equal(client.socket.readyState, client.socket.OPEN)
    await lift()
    await heldTurn(ids[2], () => revoke(project, origin))
    assert.equal((await client.closed).code, 1008)
    await eventually(() => turnsOf(project).length > 0)
    assert.deepEqual(
      turnsOf(project).map(({ status, http_status }) => [status, http_status]),
      [['failed', 400]],
    )
  })

  test('a budget that is cut off while a socket reaches for its provider anew stops the turn that waits for it', async () => {
    const project = await heldProject()
    const { stop, lift } = await withStop(project)
    const client = await openSocket({ url: origin }, '/v1/responses', project.apiKey)
    client.send(turn('[[sim output_tokens=4000 delay_ms=20]]'))
    await client.until('response.output_text.delta')
    await stop()
    await client.until('response.failed')
    await lift()
    const said = heldProvider.holdFrom('GET /v1/responses')
    client.send(turn('Say it.'))
    await said
    await stop()
    heldProvider.release()
    const [error] = await client.until('error')
    assert.deepEqual([error.status, error.error.metadata.reason], [403, 'stopped_by_admin'])
    await lift()
    client.send(turn('Say it.'))
    await client.until('response.completed')
    const turns = await eventually(() => turnsOf(project).length > 1 && turnsOf(project))
    assert.deepEqual(
      turns.map(({ status }) => status),
      ['cut', 'completed'],
    )
    client.socket.close()
  })

  test('a credential of the provider that is replaced is not used where a socket reaches for it anew, before or meanwhile', async () => {
    const project = await heldProject()
    const { stop, lift } = await withStop(project)
    const client = await openSocket({ url: origin }, '/v1/responses', project.apiKey)
    const { port } = new URL(`http://${heldProvider.host}`)
    const replace = async (host: string): Promise<TestProject> => {
      const credential = `sk-${randomUUID()}`
      const integration = { base_url: `http://${host}:${port}/v1`, api_key: credential }
      await gateway.manage('PUT', `/accounts/projects/${project.projectId}/settings/openai`, integration)
      await eventually(async () => (await modelsFor(project.apiKey, origin)).servedBy === `${host}:${port}`)
      return { ...project, credential }
    }
    const stopTurn = async (count: number): Promise<void> => {
      client.send(turn('[[sim output_tokens=4000 delay_ms=20]]'))
      await client.until('response.created', count)
      await stop()
      await client.until('response.failed', count)
      await lift()
    }
    const billed = async (by: TestProject) =>
      (await gateway.billsOf(by)).filter(({ endpoint }) => endpoint === '/v1/responses').length
    await stopTurn(1)
    const second = await replace('localhost')
    await stopTurn(2)
    assert.equal(await billed(second), 1)
    const said = heldProvider.holdFrom('GET /v1/responses')
    client.send(turn('Say it.'))
    await said
    const third = await replace('127.0.0.1')
    heldProvider.release()
    const [error] = await client.until('error')
    assert.deepEqual([error.status, error.error.metadata.reason], [503, 'view_stale'])
    client.send(turn('Say it.'))
    await client.until('response.completed')
    assert.deepEqual([await billed(second), await billed(third)], [1, 1])
    client.socket.close()
  })

  test('a budget that is cut off while a socket or a call is made at the provider: refused, and the call is hung up', async () => {
    const project = await heldProject()
    const { stop, lift } = await withStop(project)
    let said = heldProvider.holdFrom('GET /v1/realtime?model=')
    const headers = { authorization: `Bearer ${project.apiKey}` }
    const upgraded = refusedUpgrade({ url: origin }, '/v1/realtime?model=gpt-realtime', { headers })
    await said
    await stop()
    heldProvider.release()
    const { status, body } = await upgraded
    assert.deepEqual([status, body.error.metadata.reason], [403, 'stopped_by_admin'])

    await lift()
    said = heldProvider.holdFrom('GET /v1/realtime?call_id=')
    const session = { type: 'realtime', model: 'gpt-realtime', instructions: '[[sim output_tokens=8]]' }
    const called = formOf([
      { name: 'sdp', value: 'v=0\r\n' },
      { name: 'session', value: JSON.stringify(session) },
    ])
    const answer = fetch(`${origin}/v1/realtime/calls`, {
      method: 'POST',
      headers: { ...headers, 'content-type': called.type },
      body: called.body,
    })
    const callId = /call_id=([\w-]+)/.exec(await said)?.[1] ?? ''
    await stop()
    heldProvider.release()
    assert.equal((await answer).status, 403)
    await untilHungUp(gateway, callId)
    assert.deepEqual(
      eventsOf(project).filter(({ endpoint }) => endpoint.startsWith('realtime')),
      [],
    )
  })

  test('a batch whose key is revoked before the provider is asked is not made', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const [path, { body }] = requests['a batch of messages']
    const refused = await heldAt('$KV.batches.', project, path.toString(), JSON.parse(body.toString()), () =>
      revoke(project, origin),
    )
    assert.equal(refused.status, 401, refused.text)
    const list = await fetch(`${gateway.stack.simulatorUrl}/v1/messages/batches`, {
      headers: { 'x-api-key': project.credential },
    })
    assert.deepEqual(((await list.json()) as { data: unknown[] }).data, [])
  })
})
