import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import type { UsageRecordedData } from '@sluice/contracts'
import { freePort, type ServiceProcess, startService } from '@sluice/stack'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { GatewayStack, type ProjectOptions, type TestProject } from './gateway-stack.ts'
import { openSocket, untilHungUp } from './sockets/socket-client.ts'

// Calls whose sound goes past an installation of several gateways: whoever has one, and whatever becomes of it.
const leaseMs = 2_000
const gateway = await GatewayStack.start(
  { after },
  { services: ['accounts', 'billing', 'budget', 'gateway'], env: { GATEWAY_CALL_LEASE_MS: String(leaseMs) } },
)
const journals = join(gateway.stack.home, 'journals')
mkdirSync(journals)

interface Sibling {
  url: string
  service: ServiceProcess
}

/** Another gateway of the installation. `adopts`: it and others of the kind settle each other's journals. */
async function startSibling(t: TestContext, name: string, { adopts }: { adopts: boolean }): Promise<Sibling> {
  const { plan } = gateway.stack.services.gateway
  const [port, operatorPort] = [await freePort(), await freePort()]
  const home = join(gateway.stack.home, name)
  mkdirSync(join(home, 'logs'), { recursive: true })
  const url = `http://127.0.0.1:${port}`
  const service = await startService(
    {
      ...plan,
      env: {
        ...plan.env,
        GATEWAY_PORT: String(port),
        GATEWAY_OPERATOR_PORT: String(operatorPort),
        GATEWAY_JOURNAL_DIR: adopts ? join(journals, name) : join(home, 'journal'),
        ...(adopts ? { GATEWAY_JOURNAL_ROOT: journals } : {}),
      },
      url,
      readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
    },
    { home, restart: false, log: () => {} },
  )
  t.after(() => service.stop())
  await service.untilReady(20_000)
  return { url, service }
}

const open: ProjectOptions = { ownCredential: true, settings: { path_classes: { realtime_calls: true } } }
const clientOf = (project: TestProject, at: { url: string } = gateway) =>
  new OpenAI({ apiKey: project.apiKey, baseURL: `${at.url}/v1`, maxRetries: 0 })

/** A project whose key every one of these gateways knows. */
async function newProject(...siblings: Sibling[]): Promise<TestProject> {
  const project = await gateway.newProject(open)
  for (const { url } of siblings)
    await eventually(async () => {
      const answer = await fetch(`${url}/v1/models`, { headers: { 'x-api-key': project.apiKey } })
      await answer.arrayBuffer()
      return answer.ok
    })
  return project
}

async function makeCall(client: OpenAI, directives: string): Promise<string> {
  const answer = await client.realtime.calls.create({
    sdp: 'v=0\r\n',
    session: { type: 'realtime', model: 'gpt-realtime', instructions: `[[sim ${directives}]]` },
  })
  return answer.headers.get('location')?.split('/').at(-1) ?? ''
}
/** Each event once: what billing had not posted of an adopted journal is published again. */
function eventsOf(project: TestProject): UsageRecordedData[] {
  return [...new Map(gateway.eventsOf(project.projectId).map(event => [event.event_id, event])).values()]
}
const turnsOf = (project: TestProject) => eventsOf(project).filter(({ endpoint }) => endpoint === 'realtime.calls')
const someTurns = (project: TestProject, count: number) =>
  eventually(() => turnsOf(project).length >= count && turnsOf(project), { timeoutMs: 10_000 })

/** What was recorded of each turn stands once, and where it was measured it is the provider's own bill. */
async function billsMatch(project: TestProject): Promise<{ unseen: string[] }> {
  const bills = await eventually(async () => {
    const found = await gateway.billsOf(project)
    return found.every(({ ended }) => ended !== 'running') && found
  })
  const events = eventsOf(project)
  const ids = events.map(({ response_id }) => response_id)
  assert.equal(new Set(ids).size, ids.length, 'no turn is recorded twice')
  for (const event of events.filter(({ status }) => status === 'completed'))
    assert.equal(event.cost_nano_usd, bills.find(bill => bill.response_id === event.response_id)?.cost_nano_usd)
  return { unseen: bills.flatMap(({ response_id: id }) => (id && !ids.includes(id) ? [id] : [])) }
}

test('a call is hung up at any gateway, by its own project alone', async t => {
  const other = await startSibling(t, 'other', { adopts: false })
  const project = await newProject(other)
  const callId = await makeCall(clientOf(project), 'output_tokens=4 call_turns=1000')
  await someTurns(project, 2)
  const stranger = await newProject(other)
  await assert.rejects(clientOf(stranger, other).realtime.calls.hangup(callId), OpenAI.NotFoundError)
  await clientOf(project, other).realtime.calls.hangup(callId)
  await untilHungUp(gateway, callId)
  await eventually(async () => (await billsMatch(project)).unseen.length === 0)
  await assert.rejects(clientOf(project, other).realtime.calls.hangup(callId), OpenAI.NotFoundError)
  // What moves a call of the telephone is said to be no path, not to be missing.
  const refer = await gateway.post(`/v1/realtime/calls/${callId}/refer`, project.apiKey, { target_uri: 'tel:+1' })
  const { error } = (await refer.json()) as { error: { code: string; message: string } }
  assert.deepEqual([refer.status, error.code], [400, 'path_not_supported'])
  assert.match(error.message, /telephone \(SIP\)/)
})

test('a gateway is killed: a sibling meters its calls on, and each turn is recorded once', async t => {
  const dying = await startSibling(t, 'dying', { adopts: true })
  const adopting = await startSibling(t, 'adopting', { adopts: true })
  const [talking, thinking] = [await newProject(dying, adopting), await newProject(dying, adopting)]
  const calls = [
    await makeCall(clientOf(talking, dying), 'output_tokens=4 call_turns=1000 call_gap_ms=100'),
    await makeCall(clientOf(thinking, dying), 'output_tokens=300 delay_ms=10 call_turns=1 call_gap_ms=100'),
  ]
  const [before] = await someTurns(talking, 2)
  await eventually(async () => (await gateway.billsOf(thinking)).length === 1)
  await new Promise(resolve => setTimeout(resolve, 500))
  await dying.service.kill()
  const killedAt = performance.now()
  // As a gateway that ends in good order says it: siblings look at once, not in ten seconds.
  writeFileSync(join(journals, 'handed-over'), '')
  const after = await eventually(
    () => turnsOf(talking).find(event => event.gateway_id !== before?.gateway_id && event.status === 'completed'),
    { timeoutMs: 10_000 },
  )
  t.diagnostic(`metered on ${Math.round(performance.now() - killedAt)} ms after the kill`)
  // The one that was being spoken is the journal's: it ends under the new gateway, and is not recorded there.
  await eventually(async () => (await gateway.billsOf(thinking)).every(({ ended }) => ended === 'completed'), {
    timeoutMs: 10_000,
  })
  await new Promise(resolve => setTimeout(resolve, 300))
  const [killed, ...more] = turnsOf(thinking)
  assert.deepEqual([killed?.status, killed?.gateway_id, more.length], ['killed', before?.gateway_id, 0])
  assert.ok((killed?.quantities.out_text ?? 0) > 0)
  for (const [index, project] of [talking, thinking].entries())
    await clientOf(project, adopting).realtime.calls.hangup(calls[index] ?? '')
  const bills = (await gateway.billsOf(talking)).map(({ response_id }) => response_id)
  const since = bills.slice(bills.indexOf(after.response_id ?? null))
  const unseen = await eventually(async () => {
    const found = await billsMatch(talking)
    return !found.unseen.some(id => since.includes(id)) && found.unseen
  })
  t.diagnostic(`${unseen.length} turns ended between the kill and the new gateway, ${since.length} were metered since`)
})

test('a gateway is killed and nobody has its journal: its calls are hung up after a lease', async t => {
  const alone = await startSibling(t, 'alone', { adopts: false })
  const project = await newProject(alone)
  const callId = await makeCall(clientOf(project, alone), 'output_tokens=4 call_turns=1000')
  await someTurns(project, 1)
  await alone.service.kill()
  const killedAt = performance.now()
  await untilHungUp(gateway, callId)
  const ms = Math.round(performance.now() - killedAt)
  t.diagnostic(`hung up ${ms} ms after the kill, at a lease of ${leaseMs} ms`)
  assert.ok(ms > leaseMs / 2)
})

test('a revoked key hangs its calls up, whichever gateways have them, and those that nobody has', async t => {
  const alive = await startSibling(t, 'alive', { adopts: true })
  const dead = await startSibling(t, 'dead', { adopts: true })
  const project = await newProject(alive, dead)
  const directives = 'output_tokens=5000 delay_ms=10 call_turns=1 call_gap_ms=50'
  const calls = [
    await makeCall(clientOf(project), directives),
    await makeCall(clientOf(project, alive), directives),
    await makeCall(clientOf(project, dead), directives),
  ]
  await eventually(async () => (await gateway.billsOf(project)).length === 3)
  await dead.service.kill()
  await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
  writeFileSync(join(journals, 'handed-over'), '')
  for (const callId of calls) await untilHungUp(gateway, callId)
  const events = await someTurns(project, 3)
  assert.deepEqual(events.map(event => event.cut_by?.reason ?? event.status).sort(), [
    'credential_revoked',
    'credential_revoked',
    'killed',
  ])
  await billsMatch(project)
})

test('a gateway that stops: turns of sockets and calls end first, the call is hung up, and all of it is on the bill', async t => {
  const stopping = await startSibling(t, 'stopping', { adopts: false })
  const project = await newProject(stopping)
  const callId = await makeCall(clientOf(project, stopping), 'output_tokens=60 delay_ms=10 call_turns=1 call_gap_ms=50')
  const client = await openSocket(stopping, '/v1/realtime?model=gpt-realtime', project.apiKey)
  client.send({ type: 'response.create', response: { instructions: '[[sim output_tokens=80 delay_ms=10]]' } })
  await client.until('response.output_audio.delta', 5)
  await eventually(async () => (await gateway.billsOf(project)).length === 2)
  const stopped = stopping.service.stop()
  await client.until('response.done')
  assert.equal((await client.closed).code, 1012)
  await stopped
  await untilHungUp(gateway, callId)
  const events = await eventually(() => {
    const found = eventsOf(project)
    return found.length === 2 && found
  })
  assert.deepEqual(
    events.map(({ status }) => status),
    ['completed', 'completed'],
  )
  assert.deepEqual((await billsMatch(project)).unseen, [])
})
