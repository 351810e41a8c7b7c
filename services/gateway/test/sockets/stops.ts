import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually, sized } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { spokenIn } from '../journal-attempts.ts'
import { startHeldWay } from '../waiting/held-way.ts'
import { openSocket, untilHungUp } from './socket-client.ts'

const model = 'gpt-5.4-mini'
const slow = { type: 'response.create', model, input: '[[sim output_tokens=4000 delay_ms=20]]' }
const realtime = '/v1/realtime?model=gpt-realtime'
/** They read nothing of the 190 MB that each is sent: those of one are more than a gateway may keep for all. */
const stalledReaders = sized({ small: 2, full: 8 })
const speakSlowly = { type: 'response.create', response: { instructions: '[[sim output_tokens=4000 delay_ms=20]]' } }

/** Sockets and their turns end when money, permission or the gateway goes, and nothing that was spent is lost. */
export function socketsEnd(gateway: GatewayStack): void {
  async function withBudget(limit: string): Promise<TestProject> {
    const project = await gateway.newProject({ ownCredential: true })
    await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, {
      name: 'Tiny',
      unit: 'usd',
      limit,
      window: 'total',
      mode: 'soft',
    })
    await eventually(async () => {
      const answer = await gateway.post('/v1/responses', project.apiKey, { model, input: '[[sim output_tokens=1]]' })
      await answer.arrayBuffer()
      return answer.headers.has('sluice-budget-name')
    })
    return project
  }
  const spend = (project: TestProject) =>
    gateway
      .post('/v1/responses', project.apiKey, { model, input: '[[sim input_tokens=700000 output_tokens=1]]' })
      .then(answer => answer.arrayBuffer())
  const cutEvents = (project: TestProject, count: number) =>
    eventually(() => {
      const found = gateway.eventsOf(project.projectId).filter(({ status }) => status === 'cut')
      return found.length >= count && found
    })

  test('money gone: a Responses turn ends softly with what was said, its socket stays and refuses the next', async () => {
    const project = await withBudget('0.5')
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    client.send(slow)
    client.send({ ...slow, stream_id: 'b' })
    await client.until('response.output_text.delta', 8)
    await spend(project)
    const ends = await client.until('response.incomplete', 2)
    for (const { response } of ends) {
      assert.deepEqual(response.incomplete_details, { reason: 'max_output_tokens' })
      assert.ok(response.output[0].content[0].text.startsWith('Sim:'))
    }
    assert.deepEqual(new Set(ends.map(({ stream_id }) => stream_id)), new Set([undefined, 'b']))
    client.send(slow)
    const [error] = await client.until('error')
    assert.deepEqual([error.status, error.error.code], [402, 'insufficient_quota'])
    assert.match(error.error.message, /out of credits/)
    assert.equal(client.socket.readyState, client.socket.OPEN)
    const events = await cutEvents(project, 2)
    for (const event of events) {
      assert.deepEqual([event.cut_by?.reason, event.provenance.out_text], ['budget_spent', 'estimated'])
      assert.ok(event.cost_nano_usd > 0)
    }
    const bills = await gateway.billsOf(project)
    assert.equal(bills.filter(({ ended }) => ended === 'aborted').length, 2, 'the provider was stopped')
    await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/budgets/${await budgetOf(project)}`)
    await eventually(async () => {
      client.send({ type: 'response.create', model, input: 'x' })
      await new Promise(resolve => setTimeout(resolve, 100))
      return client.events.some(({ type }) => type === 'response.completed')
    })
    client.socket.close()
  })

  async function budgetOf(project: TestProject): Promise<string> {
    const { body } = await gateway.manage('GET', `/accounts/projects/${project.projectId}/budgets`)
    return body.budgets[0].id
  }

  test('money gone: a realtime turn is cancelled, measured and told, then the socket closes with 1008; an idle one at once', async () => {
    const project = await withBudget('0.5')
    const client = await openSocket(gateway, realtime, project.apiKey)
    const idle = await openSocket(gateway, realtime, project.apiKey)
    client.send(speakSlowly)
    await client.until('response.output_audio.delta', 5)
    await spend(project)
    const [done] = await client.until('response.done')
    assert.equal(done.response.status, 'cancelled')
    assert.equal((await client.closed).code, 1008)
    const [error] = await client.until('error')
    assert.deepEqual([error.status, error.error.code], [402, 'insufficient_quota'])
    assert.equal((await idle.closed).code, 1008)
    const [event] = await cutEvents(project, 1)
    assert.deepEqual([event?.cut_by?.reason, event?.provenance.out_audio], ['budget_spent', 'measured'])
    const bill = (await gateway.billsOf(project)).find(({ response_id }) => response_id === event?.response_id)
    assert.equal(event?.cost_nano_usd, bill?.cost_nano_usd)
  })

  test('a revoked key closes its sockets with 1008 at once, running or idle', async t => {
    const project = await gateway.newProject({ ownCredential: true })
    const clients = await Promise.all([
      openSocket(gateway, '/v1/responses', project.apiKey),
      openSocket(gateway, '/v1/responses', project.apiKey),
      openSocket(gateway, realtime, project.apiKey),
      openSocket(gateway, realtime, project.apiKey),
    ])
    const [responses, , speaking] = clients
    responses?.send(slow)
    speaking?.send(speakSlowly)
    await responses?.until('response.output_text.delta')
    await speaking?.until('response.output_audio.delta')
    const since = performance.now()
    await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
    const closes = await Promise.all(clients.map(({ closed }) => closed))
    const ms = Math.round(performance.now() - since)
    t.diagnostic(`four sockets closed ${ms} ms after the order (promise: 1000)`)
    assert.deepEqual(
      closes.map(({ code }) => code),
      [1008, 1008, 1008, 1008],
    )
    for (const client of clients) {
      const error = client.events.find(({ type }) => type === 'error')
      assert.deepEqual([error.status, error.error.code], [401, 'credential_revoked'])
    }
    assert.equal((await responses?.until('response.failed'))?.[0].response.status, 'failed')
    const events = await cutEvents(project, 2)
    assert.deepEqual(
      events.map(event => event.cut_by?.reason),
      ['credential_revoked', 'credential_revoked'],
    )
  })

  /** A project of which all that its provider says can be held back: a turn ends no sooner than that is let go on. */
  async function heldProject(t: TestContext) {
    const way = await startHeldWay(gateway.stack.simulatorUrl)
    t.after(() => way.close())
    return { way, project: await gateway.newProject({ ownCredential: true, openaiOrigin: `http://${way.host}` }) }
  }

  for (const [how, change] of [
    ['changed', (path: string) => gateway.manage('PUT', path, { api_key: 'sk-other' })],
    ['removed', (path: string) => gateway.manage('DELETE', path)],
  ] as const)
    test(`an integration that is ${how}: idle sockets close with 1012 at once, others when their turn has ended, as it was`, async t => {
      const { way, project } = await heldProject(t)
      const settings = `/accounts/projects/${project.projectId}/settings`
      const open = (path: string) => openSocket(gateway, path, project.apiKey)
      const [idle, speaking, running] = await Promise.all([
        open('/v1/responses'),
        open(realtime),
        open('/v1/responses'),
      ])
      // What does not lead elsewhere ends nothing.
      await gateway.manage('PUT', `${settings}/anthropic`, { api_key: 'sk-other' })
      await gateway.manage('PUT', settings, { path_classes: { stored: true } })
      await eventually(async () => {
        const headers = { authorization: `Bearer ${project.apiKey}` }
        return (await fetch(`${gateway.url}/v1/responses/resp_none`, { headers })).status === 404
      })
      for (const { socket } of [idle, speaking, running]) assert.equal(socket.readyState, socket.OPEN)
      running.send({ type: 'response.create', model, input: '[[sim output_tokens=60 delay_ms=20]]' })
      await running.until('response.output_text.delta')
      way.holdAnswers()
      await change(`${settings}/openai`)
      const ends = await Promise.all([idle.closed, speaking.closed])
      for (const { code, reason } of ends) assert.deepEqual([code, /Connect again/.test(reason)], [1012, true])
      running.send({ type: 'response.create', model, input: 'Say it.' })
      const [error] = await running.until('error')
      assert.deepEqual([error.status, error.error.metadata.reason], [503, 'view_stale'])
      way.release()
      await running.until('response.completed')
      assert.equal((await running.closed).code, 1012)
      const [event, ...others] = await eventually(() => {
        const found = gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint === 'responses.websocket')
        return found.length > 0 && found
      })
      assert.deepEqual([event?.status, event?.provenance.out_text, others], ['completed', 'measured', []])
      const bills = await gateway.billsOf(project)
      const bill = bills.find(({ response_id }) => response_id === event?.response_id)
      assert.equal(event?.cost_nano_usd, bill?.cost_nano_usd)
    })

  test('a member goes over to a team with an access of its own: no turn is billed to one team’s and booked on the other', async t => {
    const { way, project } = await heldProject(t)
    const path = `/accounts/projects/${project.projectId}`
    const create = (of: string, body: object) => gateway.manage('POST', `${path}/${of}`, body)
    const [{ body: red }, { body: blue }] = [
      await create('teams', { name: 'Red' }),
      await create('teams', { name: 'Blue' }),
    ]
    const { body: user } = await create('users', {
      email: `${project.projectId}@example.com`,
      roles: ['member', 'llm_proxy_user'],
    })
    for (const { id } of [red, blue]) await gateway.manage('PUT', `${path}/teams/${id}/members/${user.user_id}`, {})
    const payBy = ({ id }: { id: string }) =>
      gateway.manage('PUT', `${path}/users/${user.user_id}/default-team`, { team_id: id })
    await payBy(red)
    const api_key = `${project.credential}-blue`
    const base_url = `${gateway.stack.simulatorUrl}/v1`
    await create('integrations', { name: 'blue', provider: 'openai', team_id: blue.id, base_url, api_key })
    const { body: key } = await create('api-keys', { name: 'x', member_id: user.user_id })
    const payers = () =>
      gateway
        .eventsOf(project.projectId)
        .filter(({ endpoint }) => endpoint === 'responses.websocket')
        .map(({ identity }) => identity.team_id)
    await eventually(async () => {
      const answer = await gateway.post('/v1/responses', key.value, { model, input: 'x' })
      await answer.arrayBuffer()
      return answer.status === 200
    })
    const [idle, running] = await Promise.all([
      openSocket(gateway, '/v1/responses', key.value),
      openSocket(gateway, '/v1/responses', key.value),
    ])
    running.send({ type: 'response.create', model, input: '[[sim output_tokens=60 delay_ms=20]]' })
    await running.until('response.output_text.delta')
    way.holdAnswers()
    await payBy(blue)
    const { code, reason } = await idle.closed
    assert.deepEqual([code, /Connect again/.test(reason)], [1012, true])
    running.send({ type: 'response.create', model, input: 'Say it.' })
    const [error] = await running.until('error')
    assert.deepEqual([error.status, error.error.metadata.reason], [503, 'view_stale'])
    way.release()
    await running.until('response.completed')
    assert.equal((await running.closed).code, 1012)
    const again = await openSocket(gateway, '/v1/responses', key.value)
    again.send({ type: 'response.create', model, input: 'Say it.' })
    await again.until('response.completed')
    again.socket.close()
    await eventually(() => payers().length === 2)
    assert.deepEqual(payers().sort(), [red.id, blue.id].sort())
    const billed = await gateway.billsOf({ ...project, credential: api_key })
    assert.equal(billed.length, 1, 'the turn of the new team, and no other')
  })

  test('a reader that does not read slows the provider down, not the gateway’s memory up', async t => {
    const project = await gateway.newProject({
      ownCredential: true,
      settings: { on_client_abort: { openai: 'cancel' } },
    })
    const residentMiB = async () =>
      Number(/^process_resident_memory_bytes (\S+)/m.exec(await gateway.metrics())?.[1]) / 1024 / 1024
    const before = await residentMiB()
    const clients = await Promise.all(
      Array.from({ length: stalledReaders }, () =>
        openSocket(gateway, realtime, project.apiKey, { perMessageDeflate: false }),
      ),
    )
    for (const client of clients) {
      client.socket.pause()
      // 20,000 tokens are about 190 MB of events each.
      client.send({
        type: 'response.create',
        response: { instructions: '[[sim output_tokens=20000 tokens_per_chunk=20 delay_ms=1]]' },
      })
    }
    await new Promise(resolve => setTimeout(resolve, 4_000))
    const grown = (await residentMiB()) - before
    t.diagnostic(`${grown.toFixed(0)} MiB more with ${stalledReaders} stalled readers`)
    assert.ok(grown < 150, `${grown} MiB`)
    for (const client of clients) client.socket.terminate()
  })

  test('a gateway killed in the middle of a turn: one event for each, estimated, from the last checkpoint', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    const speaking = await openSocket(gateway, realtime, project.apiKey)
    const calling = await gateway.newProject({
      ownCredential: true,
      settings: { path_classes: { realtime_calls: true } },
    })
    const call = await gateway.openai(calling.apiKey).realtime.calls.create({
      sdp: 'v=0',
      session: { type: 'realtime', model: 'gpt-realtime', instructions: '[[sim output_tokens=5000 delay_ms=10]]' },
    })
    await eventually(async () => (await gateway.billsOf(calling)).length > 0)
    client.send(slow)
    speaking.send(speakSlowly)
    await client.until('response.output_text.delta', 20)
    await speaking.until('response.output_audio.delta', 20)
    // Each has a checkpoint behind words of its own.
    await eventually(() => spokenIn(gateway.journalDir, project).filter(tokens => tokens > 0).length === 2)
    await gateway.stack.services.gateway.kill()
    assert.equal((await client.closed).code, 1006)
    await gateway.stack.services.gateway.start()
    await gateway.stack.services.gateway.untilReady()
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length >= 2 && found
    })
    assert.deepEqual(
      events.map(({ status }) => status),
      ['killed', 'killed'],
    )
    for (const event of events) {
      assert.ok((event.quantities.out_text ?? 0) > 0)
      assert.deepEqual(new Set(Object.values(event.provenance)), new Set(['estimated']))
      assert.ok(event.response_id)
    }
    // A call that goes past the gateway has survived it: the next run meters it on, and leaves the turn to the journal.
    await eventually(() => /a realtime call is metered on by this gateway/.test(gateway.logs()))
    const callId = call.headers.get('location')?.split('/').at(-1) ?? ''
    await gateway.openai(calling.apiKey).realtime.calls.hangup(callId)
    await untilHungUp(gateway, callId)
    // What billing had not posted of the journal is published again, as the same event.
    const turnsOfCall = () => [
      ...new Map(gateway.eventsOf(calling.projectId).map(event => [event.event_id, event])).values(),
    ]
    // Of another project, so of another batch: it may come later than those of the sockets.
    await eventually(() => turnsOfCall().some(({ status }) => status === 'killed'), {
      message: 'the killed turn of the call that was metered on',
    })
    const turns = turnsOfCall()
    assert.equal(new Set(turns.map(event => event.response_id)).size, turns.length, 'no turn is recorded twice')
  })

  test('a gateway that stops: idle sockets close with 1012 at once, running turns end first', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const idle = await openSocket(gateway, realtime, project.apiKey)
    const running = await openSocket(gateway, '/v1/responses', project.apiKey)
    running.send({ type: 'response.create', model, input: '[[sim output_tokens=50 delay_ms=20]]' })
    await running.until('response.output_text.delta')
    const stopped = gateway.stack.services.gateway.stop()
    assert.equal((await idle.closed).code, 1012)
    await running.until('response.completed')
    assert.equal((await running.closed).code, 1012)
    await stopped
    const [event] = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length > 0 && found
    })
    assert.deepEqual([event?.status, event?.provenance.out_text], ['completed', 'measured'])
  })
}
