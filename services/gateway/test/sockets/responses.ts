import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { WebSocketServer } from 'ws'
import { beforeTheEnd } from '../before-the-end.ts'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { openSocket, type SocketEvent } from './socket-client.ts'

const model = 'gpt-5.4-mini'

/** Every turn of a Responses socket is a settlement of its own, to the provider's own bill. */
export function responsesSocketsAreMetered(gateway: GatewayStack): void {
  /** The events of a project, once there are so many, beside the provider's bill of each. */
  async function settled(project: TestProject, count: number) {
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length >= count && found
    })
    assert.equal(events.length, count, 'no turn is settled twice')
    const bills = await eventually(async () => {
      const found = await gateway.billsOf(project)
      return found.every(({ ended }) => ended !== 'running') && found
    })
    return events.map(event => ({ event, bill: bills.find(bill => bill.response_id === event.response_id) }))
  }

  test('two turns through the official client: two settlements, to the provider’s bill', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const socket = new ResponsesWS(gateway.openai(project.apiKey))
    const done: SocketEvent[] = []
    socket.on('response.completed', event => done.push(event))
    socket.send({ type: 'response.create', model, input: '[[sim output_tokens=40 cached=2 reasoning=8]]' })
    await eventually(() => done.length === 1)
    const before = { model, previous_response_id: done[0].response.id }
    socket.send({ type: 'response.create', ...before, input: 'x [[sim output_tokens=10 searches=2]]' })
    await eventually(() => done.length === 2)
    socket.close()
    for (const { event, bill } of await settled(project, 2)) {
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
      assert.ok(event.cost_nano_usd > 0)
      assert.deepEqual([event.endpoint, event.status, event.priced], ['responses.websocket', 'completed', true])
      assert.deepEqual(new Set(Object.values(event.provenance)), new Set(['measured']))
    }
  })

  test('a turn that ends twice counts once; an event nobody knows passes as it came', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/openai/v1/responses', project.apiKey)
    client.send({ type: 'response.create', model, input: '[[sim fault=duplicate,unknown]]' })
    await client.until('response.completed', 2)
    client.send({ type: 'response.create', model, input: '[[sim fault=duplicate]]' })
    await client.until('response.completed', 4)
    assert.equal(client.events.filter(event => event.type === 'response.future_thing.delta').length, 1)
    assert.ok(client.frames.some(({ text }) => text.includes('"sim_future_field":{"nested":[1,null,"x"]}')))
    client.socket.close()
    for (const { event, bill } of await settled(project, 2)) assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
  })

  test('lanes are told apart: each turn has its own usage, whatever comes between', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    for (let lane = 0; lane < 6; lane++)
      client.send({
        type: 'response.create',
        stream_id: `lane-${lane % 3}`,
        model,
        input: `[[sim output_tokens=${10 + lane * 7} delay_ms=${3 + lane}]]`,
      })
    await client.until('response.completed', 6)
    client.socket.close()
    for (const { event, bill } of await settled(project, 6)) assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
  })

  test('a warm-up without usage costs nothing, and the turn that goes on from it what the provider bills', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    client.send({ type: 'response.create', model, input: 'x'.repeat(400), generate: false })
    const [warm] = await client.until('response.completed')
    client.send({ type: 'response.create', model, input: 'x', previous_response_id: warm.response.id })
    await client.until('response.completed', 2)
    client.socket.close()
    const found = await settled(project, 2)
    for (const { event, bill } of found) {
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
      assert.deepEqual([event.status, event.doubts], ['completed', undefined])
    }
    const warmed = found.find(({ event }) => event.response_id === warm.response.id)?.event
    assert.deepEqual([warmed?.quantities, warmed?.cost_nano_usd], [{}, 0])
  })

  test('a warm-up whose client leaves before it is answered costs nothing', async () => {
    for (const policy of ['cancel', 'drain'] as const) {
      const project = await gateway.newProject({
        ownCredential: true,
        settings: { on_client_abort: { openai: policy } },
      })
      const client = await openSocket(gateway, '/v1/responses', project.apiKey)
      const input = 'Hello. [[sim fault=silence silence_ms=700]]'
      client.send({ type: 'response.create', model, generate: false, input })
      await eventually(async () => (await gateway.billsOf(project)).length === 1)
      client.socket.terminate()
      const [only] = await settled(project, 1)
      assert.deepEqual(
        [only?.event.status, only?.event.quantities, only?.event.cost_nano_usd],
        ['aborted', {}, 0],
        policy,
      )
    }
  })

  test('a warm-up whose provider tells usage is charged for it; one that is answered with text all the same, by estimate', async t => {
    const provider = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(provider, 'listening')
    t.after(() => {
      for (const socket of provider.clients) socket.terminate()
      provider.close()
    })
    let turns = 0
    provider.on('connection', socket =>
      socket.on('message', data => {
        const { input } = JSON.parse(String(data)) as { input: string }
        const response = { id: `resp_${++turns}`, object: 'response', model, output: [] }
        const usage = input === 'told' ? { input_tokens: 12, output_tokens: 0, total_tokens: 12 } : null
        socket.send(JSON.stringify({ type: 'response.created', response }))
        if (input === 'talks') socket.send('{"type":"response.output_text.delta","delta":"Some words that were said."}')
        socket.send(JSON.stringify({ type: 'response.completed', response: { ...response, usage } }))
      }),
    )
    const base_url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`
    const project = await gateway.newProject({ integrations: { openai: { base_url, api_key: 'sk-x' } } })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    for (const input of ['told', 'talks']) client.send({ type: 'response.create', model, input, generate: false })
    // Who says so in one place and not in the other may be answered: it is taken for a turn.
    client.send({ type: 'response.create', model, input: 'silent', generate: false, response: {} })
    await client.until('response.completed', 3)
    client.socket.close()
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId)
      return found.length === 3 && found
    })
    const [told, talks, silent] = [1, 2, 3].map(turn => events.find(event => event.response_id === `resp_${turn}`))
    assert.deepEqual([told?.quantities, told?.provenance], [{ in_text: 12 }, { in_text: 'measured' }])
    assert.deepEqual(talks?.provenance, { in_text: 'estimated', out_text: 'estimated' })
    assert.deepEqual([silent?.provenance, silent?.doubts], [{ in_text: 'estimated' }, ['usage_missing']])
  })

  test('a steered response and the one that follows it by itself: one settlement each, to the provider’s bill', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    const steer = (id: string, input: string) =>
      client.send({ type: 'response.steer', previous_response_id: id, input })
    client.send({ type: 'response.create', stream_id: 'a', model, input: '[[sim output_tokens=40 delay_ms=10]]' })
    const [created] = await client.until('response.created')
    steer(created.response.id, 'Shorter. [[sim output_tokens=7]]')
    steer(created.response.id, 'Without a word of usage. [[sim output_tokens=9 fault=no_usage]]')
    steer('resp_of_nobody', 'x')
    await client.until('response.steer.accepted', 2)
    await client.until('response.steer.failed')
    const done = await client.until('response.completed', 3)
    assert.deepEqual(
      done.map(({ stream_id }) => stream_id),
      ['a', 'a', 'a'],
    )
    client.socket.close()
    const found = await settled(project, 3)
    const byId = done.map(({ response }) => found.find(({ event }) => event.response_id === response.id))
    for (const each of byId.slice(0, 2)) assert.equal(each?.event.cost_nano_usd, each?.bill?.cost_nano_usd)
    assert.deepEqual(
      byId.map(each => each?.event.provenance.out_text),
      ['measured', 'measured', 'estimated'],
    )
    assert.equal(byId[2]?.event.quantities.in_text, undefined)
  })

  test('a turn the provider refuses costs nothing; the socket stays', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    client.send({ type: 'response.create', model, input: 'x', previous_response_id: 'resp_of_nobody' })
    const [error] = await client.until('error')
    assert.deepEqual([error.status, error.error.code], [400, 'previous_response_not_found'])
    client.send({ type: 'response.create', model, input: 'x' })
    await client.until('response.completed')
    client.socket.close()
    const found = await settled(project, 2)
    const [refused, whole] = found.sort((a, b) => a.event.cost_nano_usd - b.event.cost_nano_usd)
    assert.deepEqual(
      [refused?.event.status, refused?.event.http_status, refused?.event.cost_nano_usd],
      ['failed', 400, 0],
    )
    assert.equal(whole?.event.cost_nano_usd, whole?.bill?.cost_nano_usd)
  })

  test('under the operator’s credential a turn goes on from what its socket or its project has made, and from nothing else', async () => {
    const stored = { settings: { path_classes: { stored: true } } }
    const [closed, mine, theirs] = [
      await gateway.newProject(),
      await gateway.newProject(stored),
      await gateway.newProject(stored),
    ]
    const create = { type: 'response.create', model, input: 'x' }
    const notFound = async (project: TestProject, id: string) => {
      const client = await openSocket(gateway, '/v1/responses', project.apiKey)
      for (const asked of [{ previous_response_id: id }, { response: { previous_response_id: id } }])
        client.send({ ...create, ...asked })
      for (const error of await client.until('error', 2))
        assert.deepEqual([error.status, error.error.code], [400, 'previous_response_not_found'])
      client.send(create)
      await client.until('response.completed')
      client.socket.close()
    }
    const client = await openSocket(gateway, '/v1/responses', closed.apiKey)
    client.send(create)
    const [first] = await client.until('response.completed')
    client.send({ ...create, previous_response_id: first.response.id })
    await client.until('response.completed', 2)
    client.send({ ...create, store: false })
    const passing = (await client.until('response.completed', 3))[2]
    client.socket.close()
    const goOn = (project: TestProject, id: string) =>
      gateway.post('/v1/responses', project.apiKey, { model, input: 'x', previous_response_id: id })
    assert.equal((await goOn(closed, first.response.id)).status, 200)
    await notFound(theirs, first.response.id)
    // It was not kept, so it has ended with its socket.
    await notFound(closed, passing.response.id)
    const made = await openSocket(gateway, '/v1/responses', mine.apiKey)
    made.send(create)
    const [known] = await made.until('response.completed')
    made.socket.close()
    await notFound(theirs, known.response.id)
    assert.equal((await goOn(mine, known.response.id)).status, 200)
    const turns = (project: TestProject) => gateway.eventsOf(project.projectId).filter(event => event.streamed)
    await eventually(() => turns(closed).length === 4 && turns(theirs).length === 2)
  })

  test('a provider that breaks off: one event, estimated from what was seen, and the close is passed on', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    const uncounted = await gateway.textsByBytes()
    client.send({ type: 'response.create', model, input: '[[sim output_tokens=90 fault=drop at=30]]' })
    assert.equal((await client.closed).code, 1011)
    const [only] = await settled(project, 1)
    assert.deepEqual([only?.event.status, only?.event.error_code], ['failed', 'provider_ended_early'])
    assert.equal(only?.event.provenance.out_text, 'estimated')
    // Counted by the vocabulary; where its time was spent, by bytes: 120 were said, and 3.6 are a token.
    const byBytes = (await gateway.textsByBytes()) - uncounted
    const { in_text: input, out_text: output } = only?.event.quantities ?? {}
    if (byBytes === 0) assert.deepEqual([input, output], [32, 31])
    else assert.ok([29, 32].includes(input ?? 0) && [31, 34].includes(output ?? 0), `${input}, ${output}`)
  })

  test('a client that leaves: drained to the provider’s bill, or cancelled and estimated, as the project has it', async () => {
    for (const policy of ['drain', 'cancel'] as const) {
      const leaveAfterSome = async (everyMs: number) => {
        const project = await gateway.newProject({
          ownCredential: true,
          settings: { on_client_abort: { openai: policy, anthropic: policy } },
        })
        const client = await openSocket(gateway, '/v1/responses', project.apiKey)
        const tokens = policy === 'drain' ? 60 : 4_000
        client.send({ type: 'response.create', model, input: `[[sim output_tokens=${tokens} delay_ms=${everyMs}]]` })
        await client.until('response.output_text.delta', 5)
        client.socket.terminate()
        return settled(project, 1)
      }
      const [only] = await beforeTheEnd(leaveAfterSome, left => left.map(({ event }) => event), 10)
      assert.equal(only?.event.status, 'aborted')
      if (policy === 'drain') {
        assert.equal(only?.event.provenance.out_text, 'drained')
        assert.equal(only?.event.cost_nano_usd, only?.bill?.cost_nano_usd)
      } else {
        assert.equal(only?.bill?.ended, 'aborted')
        assert.equal(only?.event.provenance.out_text, 'estimated')
      }
    }
  })

  test('a client that leaves before it has heard anything of its turn pays its input', async () => {
    const project = await gateway.newProject({
      ownCredential: true,
      settings: { on_client_abort: { openai: 'cancel' } },
    })
    const client = await openSocket(gateway, '/v1/responses', project.apiKey)
    client.send({ type: 'response.create', model, input: 'Hello. [[sim fault=silence silence_ms=8000]]' })
    await eventually(async () => (await gateway.billsOf(project)).length === 1)
    client.socket.terminate()
    const [only] = await settled(project, 1)
    assert.deepEqual([only?.event.status, only?.event.provenance], ['aborted', { in_text: 'estimated' }])
    assert.ok((only?.event.cost_nano_usd ?? 0) > 0)
  })

  test('frames pass byte for byte, compressed or not, also below a room', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const direct = new Set<string>()
    for (const perMessageDeflate of [false, true]) {
      const client = await openSocket(gateway, '/rooms/lobby/openai/v1/responses?x=%41', project.apiKey, {
        perMessageDeflate,
      })
      const extensions = String(client.upgraded['sec-websocket-extensions'] ?? '').split(/\s*;\s*/)
      for (const agreed of ['permessage-deflate', 'server_no_context_takeover', 'client_no_context_takeover'])
        assert.equal(extensions.includes(agreed), perMessageDeflate, agreed)
      assert.ok(client.upgraded['sluice-call-id'])
      client.send({ type: 'response.create', model, input: `[[sim text=${JSON.stringify('é'.repeat(3_000))}]]` })
      const [done] = await client.until('response.completed')
      direct.add(done.response.output.at(-1).content[0].text)
      const sizes = client.frames.map(({ text }) => Buffer.byteLength(text))
      const [said, largest] = [sizes.reduce((sum, size) => sum + size, 0), Math.max(...sizes)]
      assert.ok(largest > 6_000)
      if (perMessageDeflate) assert.ok(client.bytesRead() < said - largest / 2, `${client.bytesRead()} of ${said}`)
      else assert.ok(client.bytesRead() > said)
      client.socket.close()
    }
    assert.deepEqual([...direct], ['é'.repeat(3_000)])
    const found = await settled(project, 2)
    for (const { event, bill } of found) {
      assert.equal(event.cost_nano_usd, bill?.cost_nano_usd)
      assert.equal(event.identity.room, 'lobby')
    }
  })
}
