import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { jetstreamManager } from '@nats-io/jetstream'
import { provisionBus } from '@sluice/stack'
import { eventually, sized } from '@sluice/test-env'
import { requestIdOf, type TestProject } from './gateway-stack.ts'
import { attemptsIn } from './journal-attempts.ts'
import { recordsOf } from './paths/references.ts'
import { isPaidOnce } from './paths/stored.ts'
import { sharedGateway } from './shared-gateway.ts'

const gateway = await sharedGateway()

const stored = { path_classes: { stored: true } }

function begin(project: TestProject, directives: string, init?: RequestInit): Promise<Response> {
  const input = `Think of the sea. [[sim ${directives}]]`
  return gateway.post('/v1/responses', project.apiKey, { model: 'gpt-5.4-mini', input, background: true }, init)
}

const isAtProvider = (project: TestProject) => eventually(async () => (await gateway.billsOf(project)).length === 1)

/** Its gateway knows by now what the provider has begun: a next run goes on from there. */
const isInJournal = (project: TestProject) =>
  eventually(() => attemptsIn(gateway.journalDir, project).some(({ checkpoint }) => checkpoint?.background))

async function killAndStart(): Promise<void> {
  const { gateway: service } = gateway.stack.services
  await service.kill()
  await service.start()
  await service.untilReady()
}

suite('a gateway that is killed', () => {
  const ask = (project: TestProject, body: object) =>
    gateway.post('/v1/responses', project.apiKey, { model: 'gpt-5.4-mini', input: 'x', ...body })
  let early: TestProject
  let madeEarly: { id: string; output: { id: string }[] }
  before(async () => {
    early = await gateway.newProject()
    madeEarly = (await (await ask(early, {})).json()) as typeof madeEarly
    await eventually(async () => (await recordsOf(gateway, early)) === 2)
  })

  test('while responses are made in the background leaves none unpaid and none paid twice', async t => {
    const project = await gateway.newProject({ settings: { path_classes: { stored: true } } })
    const made: { id: string; requestId: string | null }[] = []
    const ways = [
      [40, false],
      [5, false],
      [20, true],
    ] as const
    for (const [delayMs, stream] of ways) {
      const answer = await gateway.post('/v1/responses', project.apiKey, {
        model: 'gpt-5.4-mini',
        input: `Think of the sea. [[sim output_tokens=60 delay_ms=${delayMs}]]`,
        background: true,
        stream,
      })
      assert.equal(answer.status, 200)
      let text = ''
      // Of a stream the first event is enough: whoever has heard of a response can be sure that it is recorded.
      for await (const chunk of answer.body ?? []) {
        text += Buffer.from(chunk).toString()
        if (/resp_\w+/.test(text)) break
      }
      made.push({ id: /resp_\w+/.exec(text)?.[0] ?? '', requestId: requestIdOf(answer) })
      // Behind each of them, or once while all are made.
      if (!sized({ small: made.length === ways.length, full: true })) continue
      await killAndStart()
    }
    const startedAt = performance.now()
    let billed = 0
    for (const { id, requestId } of made) {
      const event = await eventually(() =>
        gateway.eventsOf(project.projectId).find(({ settlement_key }) => settlement_key === id),
      )
      const bill = await gateway.closedBillOf(requestId)
      assert.deepEqual([event.cost_nano_usd, event.status], [bill.cost_nano_usd, 'completed'])
      billed += bill.cost_nano_usd
    }
    const posted = async () =>
      Number((await gateway.manage('GET', `/accounts/projects/${project.projectId}/balance`)).body.cost_nano_usd)
    await eventually(async () => (await posted()) >= billed)
    assert.equal(await posted(), billed)
    t.diagnostic(
      `${made.length} responses settled ${Math.round(performance.now() - startedAt)} ms after the last start`,
    )
  })

  test('knows, once it has started again, what its project made before', async () => {
    const input = [{ type: 'item_reference', id: madeEarly.output[0]?.id }]
    assert.equal((await ask(early, { previous_response_id: madeEarly.id, input })).status, 200)
  })
})

test('a kill between the record of a response and the end of its asking charges its input once', async () => {
  const project = await gateway.newProject({ settings: stored, ownCredential: true })
  const manager = await jetstreamManager(gateway.stack.natsAdmin)
  const isOnRecord = async () => {
    const subject = `$KV.background-responses.${project.projectId}.>`
    const { state } = await manager.streams.info('KV_background-responses', { subjects_filter: subject })
    return Object.keys(state.subjects ?? {}).length === 1
  }
  // Without this bucket the reply waits behind its record for a while: long enough to be killed there.
  await manager.streams.delete('KV_stored-responses')
  try {
    const answer = begin(project, 'output_tokens=60 delay_ms=20').catch(() => undefined)
    await isAtProvider(project)
    await eventually(isOnRecord)
    const { gateway: service } = gateway.stack.services
    await service.kill()
    await answer
    await provisionBus(gateway.stack.natsAdmin)
    await service.start()
    await service.untilReady()
  } finally {
    await provisionBus(gateway.stack.natsAdmin)
  }
  await isPaidOnce(gateway, project, { asking: 'killed', settlement: 'completed', bill: 'completed' })
})

test('a response that is recorded and cannot be remembered is told to its maker and paid once', async () => {
  const project = await gateway.newProject({ settings: stored, ownCredential: true })
  const manager = await jetstreamManager(gateway.stack.natsAdmin)
  await manager.streams.delete('KV_stored-responses')
  try {
    const answer = await begin(project, 'output_tokens=10')
    assert.equal(answer.status, 200)
    await answer.arrayBuffer()
  } finally {
    await provisionBus(gateway.stack.natsAdmin)
  }
  await isPaidOnce(gateway, project, { asking: 'completed', settlement: 'completed', bill: 'completed' })
})

test('a client that leaves, and a gateway that is killed, while NATS takes no record: each response is paid once', async () => {
  const nats = gateway.stack.nats
  assert.ok(nats)
  const left = await gateway.newProject({
    settings: { ...stored, on_client_abort: { openai: 'cancel' } },
    ownCredential: true,
  })
  const killed = await gateway.newProject({ settings: stored, ownCredential: true })
  nats.process.signal('SIGSTOP')
  try {
    const leave = new AbortController()
    const answer = begin(left, 'output_tokens=5000 delay_ms=10', { signal: leave.signal }).catch(() => undefined)
    await isAtProvider(left)
    leave.abort()
    await answer
  } finally {
    nats.process.signal('SIGCONT')
  }
  await isPaidOnce(gateway, left, { asking: 'aborted', settlement: 'aborted', bill: 'aborted' })
  nats.process.signal('SIGSTOP')
  try {
    const answer = begin(killed, 'output_tokens=100 delay_ms=10').catch(() => undefined)
    await isAtProvider(killed)
    // One that is killed before it has read of the response cannot know of it.
    await isInJournal(killed)
    await gateway.stack.services.gateway.kill()
    await answer
  } finally {
    nats.process.signal('SIGCONT')
  }
  await killAndStart()
  await isPaidOnce(gateway, killed, { asking: 'killed', settlement: 'completed', bill: 'completed' })
})

test('a response that cannot be recorded is refused, cancelled at its provider and paid once', async () => {
  const nats = gateway.stack.nats
  assert.ok(nats)
  const project = await gateway.newProject({ settings: stored, ownCredential: true })
  nats.process.signal('SIGSTOP')
  try {
    const answer = await begin(project, 'output_tokens=5000 delay_ms=100')
    assert.equal(answer.status, 503)
    assert.match(await answer.text(), /could not be recorded \(NATS is away\), so it is cancelled/)
    await eventually(async () => (await gateway.billsOf(project))[0]?.ended === 'aborted')
  } finally {
    nats.process.signal('SIGCONT')
  }
  await isPaidOnce(gateway, project, { asking: 'failed', settlement: 'aborted', bill: 'aborted' })
})
