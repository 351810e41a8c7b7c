import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { atFileEnd, eventually, testFolder } from '@sluice/test-env'
import type { TestProject } from './gateway-stack.ts'
import { sharedGateway } from './shared-gateway.ts'
import { openSocket, type SocketClient } from './sockets/socket-client.ts'

// Turns that wait for their record: what ends them before they have left.
const root = testFolder({ after }, 'journals')
const gateway = await sharedGateway({
  GATEWAY_JOURNAL: 'replicated',
  GATEWAY_JOURNAL_ROOT: root,
  GATEWAY_JOURNAL_DIR: join(root, 'own'),
  GATEWAY_JOURNAL_WAIT_MS: '10000',
})
// The next file of its process begins when this one has ended.
atFileEnd(() => gateway.stack.services.gateway.stop())
const manager = await jetstreamManager(gateway.stack.natsAdmin)
const { config } = await manager.streams.info('JOURNAL')
const model = 'gpt-5.4-mini'
const kinds = {
  responses: {
    path: '/v1/responses',
    create: (lane: string) => ({ type: 'response.create', stream_id: lane, model, input: 'x' }),
  },
  realtime: {
    path: '/v1/realtime?model=gpt-realtime',
    create: (id: string) => ({ type: 'response.create', event_id: id }),
  },
}

async function metric(name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(await gateway.metrics())?.[1])
}

/** A turn that stands in the journal while nothing is secured, and what lets it go on. */
async function heldTurn(t: TestContext, project: TestProject, kind: keyof typeof kinds) {
  const { path, create } = kinds[kind]
  const client = await openSocket(gateway, path, project.apiKey)
  await eventually(async () => (await metric('gateway_active_calls')) === 0)
  await manager.streams.update('JOURNAL', { ...config, max_bytes: 1 })
  const release = () => manager.streams.update('JOURNAL', config)
  t.after(release)
  client.send(create('mine'))
  await eventually(async () => (await metric('gateway_active_calls')) === 1)
  return { client, release }
}

/** Its one event, and that the provider has never heard of it. */
async function neverSent(project: TestProject, callsBefore = 0) {
  const events = await eventually(() => {
    const found = gateway.eventsOf(project.projectId).filter(({ endpoint }) => /^(?:realtime|.*socket)$/.test(endpoint))
    return found.length > 0 && found
  })
  const [event] = events
  assert.deepEqual(
    [events.length, event?.cost_nano_usd, event?.quantities, event?.http_status],
    [1, 0, {}, 0],
    'one event, of nothing',
  )
  assert.equal((await gateway.billsOf(project)).length, callsBefore)
  return event
}

const errorsOf = (client: SocketClient) => client.events.filter(({ type }) => type === 'error')

for (const kind of ['responses', 'realtime'] as const) {
  test(`${kind}: a key that is revoked before a turn has left ends it at no cost, and the socket with 1008`, async t => {
    const project = await gateway.newProject({ ownCredential: true })
    const { client, release } = await heldTurn(t, project, kind)
    await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
    await eventually(async () => (await metric('gateway_active_calls')) === 0)
    await release()
    assert.equal((await client.closed).code, 1008)
    const errors = errorsOf(client)
    for (const error of errors) assert.deepEqual([error.status, error.error.code], [401, 'credential_revoked'])
    assert.ok(errors.some(error => (error.stream_id ?? error.error.event_id) === 'mine'))
    const event = await neverSent(project)
    assert.deepEqual([event?.status, event?.cut_by?.reason], ['cut', 'credential_revoked'])
  })

  test(`${kind}: money that goes before a turn has left ends it at no cost, and the client hears of it at once`, async t => {
    const project = await gateway.newProject({ ownCredential: true })
    const budgets = `/accounts/projects/${project.projectId}/budgets`
    const { body: budget } = await gateway.manage('POST', budgets, {
      name: 'Small',
      unit: 'usd',
      limit: '5',
      window: 'total',
      mode: 'soft',
    })
    const spend = { model, input: '[[sim input_tokens=700000 output_tokens=1]]' }
    await (await gateway.post('/v1/responses', project.apiKey, spend)).arrayBuffer()
    await eventually(async () => Number((await gateway.manage('GET', `${budgets}/${budget.id}`)).body.spent) > 0.1)
    const { client, release } = await heldTurn(t, project, kind)
    await gateway.manage('PATCH', `${budgets}/${budget.id}`, { limit: '0.1' })
    await eventually(async () => (await metric('gateway_active_calls')) === 0)
    await release()
    const [error] = await client.until('error')
    assert.deepEqual([error.status, error.error.code], [402, 'insufficient_quota'])
    assert.equal(error.stream_id ?? error.error.event_id, 'mine')
    const event = await neverSent(project, 1)
    assert.deepEqual([event?.status, event?.cut_by?.reason], ['cut', 'budget_spent'])
    if (kind === 'realtime') {
      assert.equal((await client.closed).code, 1008)
      return
    }
    // The socket stays, and goes on when there is money again.
    await gateway.manage('PATCH', `${budgets}/${budget.id}`, { limit: '5' })
    await eventually(async () => {
      client.send(kinds[kind].create('again'))
      await client.until('response.completed').catch(() => undefined)
      return client.events.some(({ type }) => type === 'response.completed')
    })
    client.socket.close()
  })
}

test('a client that leaves before its turn has left costs nothing', async t => {
  for (const kind of ['responses', 'realtime'] as const) {
    const project = await gateway.newProject({ ownCredential: true })
    const { client, release } = await heldTurn(t, project, kind)
    client.socket.terminate()
    await eventually(async () => (await metric('gateway_active_calls')) === 0)
    await release()
    assert.equal((await neverSent(project))?.status, 'aborted')
  }
})
