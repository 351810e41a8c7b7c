import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, suite, test } from 'node:test'
import { openBucket } from '@sluice/bus'
import { ChargedContainer, containerKey, type UsageRecordedData } from '@sluice/contracts'
import { freePort, type ServiceProcess, startService } from '@sluice/stack'
import { atFileEnd, busOf, eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import type { ProjectOptions, TestProject } from './gateway-stack.ts'
import { attemptsIn, spokenIn } from './journal-attempts.ts'
import { givenUpSoon, sharedGateway } from './shared-gateway.ts'
import { openSocket, untilHungUp } from './sockets/socket-client.ts'

// Calls whose sound goes past an installation of several gateways: whoever has one, and whatever becomes of it.
const leaseMs = Number(givenUpSoon.GATEWAY_CALL_LEASE_MS)
const gateway = await sharedGateway(givenUpSoon)
// The next file of their process begins when this one has ended: asking for batches every moment would take from it.
const stopping: (() => Promise<void>)[] = [() => gateway.stack.services.gateway.stop()]
atFileEnd(async () => {
  await Promise.all(stopping.map(stop => stop()))
})
const journals = join(gateway.stack.home, 'journals')
mkdirSync(journals)

interface Sibling {
  url: string
  service: ServiceProcess
  journalDir: string
}

/** Another gateway of the installation. `adopts`: it and others of the kind settle each other's journals. */
async function startSibling(name: string, { adopts }: { adopts: boolean }): Promise<Sibling> {
  const { plan } = gateway.stack.services.gateway
  const [port, operatorPort] = [await freePort(), await freePort()]
  const home = join(gateway.stack.home, name)
  mkdirSync(join(home, 'logs'), { recursive: true })
  const url = `http://127.0.0.1:${port}`
  const journalDir = adopts ? join(journals, name) : join(home, 'journal')
  const service = await startService(
    {
      ...plan,
      env: {
        ...plan.env,
        GATEWAY_PORT: String(port),
        GATEWAY_OPERATOR_PORT: String(operatorPort),
        GATEWAY_JOURNAL_DIR: journalDir,
        ...(adopts ? { GATEWAY_JOURNAL_ROOT: journals } : {}),
      },
      url,
      readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
    },
    { home, restart: false, log: () => {} },
  )
  stopping.push(() => service.stop())
  await service.untilReady()
  return { url, service, journalDir }
}
const first: Omit<Sibling, 'service'> = { url: gateway.url, journalDir: gateway.journalDir }

const open: ProjectOptions = { ownCredential: true, settings: { path_classes: { realtime_calls: true } } }
const clientOf = (project: TestProject, at: { url: string } = gateway) =>
  new OpenAI({ apiKey: project.apiKey, baseURL: `${at.url}/v1`, maxRetries: 0 })

/** A project whose key every one of these gateways knows. */
async function newProject(...siblings: { url: string }[]): Promise<TestProject> {
  const project = await gateway.newProject(open)
  for (const { url } of siblings)
    await eventually(async () => {
      const answer = await fetch(`${url}/v1/models`, { headers: { 'x-api-key': project.apiKey } })
      await answer.arrayBuffer()
      return answer.ok
    })
  return project
}

async function makeCall(project: TestProject, at: { url: string }, directives: string): Promise<string> {
  const client = clientOf(project, at)
  const answer = await client.realtime.calls.create({
    sdp: 'v=0\r\n',
    session: { type: 'realtime', model: 'gpt-realtime', instructions: `[[sim ${directives}]]` },
  })
  return answer.headers.get('location')?.split('/').at(-1) ?? ''
}
/** Makes a call that speaks for a minute and more. Resolves when its gateway has its turn in the journal. */
async function makeLongCall(project: TestProject, at: Omit<Sibling, 'service'>): Promise<string> {
  const callId = await makeCall(project, at, 'output_tokens=2000 delay_ms=50 call_turns=1 call_gap_ms=50')
  await eventually(() => attemptsIn(at.journalDir, project).some(({ open }) => open.in_call?.call_id === callId))
  return callId
}
/** Each event once: what billing had not posted of an adopted journal is published again. */
function eventsOf(project: TestProject): UsageRecordedData[] {
  return [...new Map(gateway.eventsOf(project.projectId).map(event => [event.event_id, event])).values()]
}
const turnsOf = (project: TestProject) => eventsOf(project).filter(({ endpoint }) => endpoint === 'realtime.calls')
const someTurns = (project: TestProject, count: number) =>
  eventually(() => turnsOf(project).length >= count && turnsOf(project))

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

const model = 'gpt-5.4-mini'
/** A budget for everything in a project, known to these gateways. */
async function withBudget(project: TestProject, gateways: readonly { url: string }[]): Promise<void> {
  const budget = { name: 'Tiny', unit: 'usd', limit: '0.5', window: 'total', mode: 'soft' }
  await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, budget)
  for (const at of gateways)
    await eventually(async () => (await respond(project, at, 'output_tokens=1')).headers.has('sluice-budget-name'))
}
const spend = (project: TestProject) => respond(project, first, 'input_tokens=700000 output_tokens=1')
async function respond({ apiKey }: TestProject, { url }: { url: string }, directives: string): Promise<Response> {
  const answer = await fetch(`${url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({ model, input: `[[sim ${directives}]]` }),
  })
  await answer.arrayBuffer()
  return answer
}

let sibling: Sibling

test('another gateway comes beside the first', async () => {
  sibling = await startSibling('sibling', { adopts: true })
})

test('a call is hung up at any gateway, by its own project alone', async () => {
  const project = await newProject(sibling)
  const callId = await makeCall(project, first, 'output_tokens=4 call_turns=1000')
  await someTurns(project, 2)
  const stranger = await newProject(sibling)
  await assert.rejects(clientOf(stranger, sibling).realtime.calls.hangup(callId), OpenAI.NotFoundError)
  await clientOf(project, sibling).realtime.calls.hangup(callId)
  await untilHungUp(gateway, callId)
  await eventually(async () => (await billsMatch(project)).unseen.length === 0)
  await assert.rejects(clientOf(project, sibling).realtime.calls.hangup(callId), OpenAI.NotFoundError)
  // What moves a call of the telephone is said to be no path, not to be missing.
  const refer = await gateway.post(`/v1/realtime/calls/${callId}/refer`, project.apiKey, { target_uri: 'tel:+1' })
  const { error } = (await refer.json()) as { error: { code: string; message: string } }
  assert.deepEqual([refer.status, error.code], [400, 'path_not_supported'])
  assert.match(error.message, /telephone \(SIP\)/)
})

test('a container that one gateway has charged is not charged by another that its next turn goes through', async () => {
  const project = await newProject(sibling)
  const run = async (at: { url: string }, container: OpenAI.Responses.Tool.CodeInterpreter['container']) => {
    // Long enough for what is told beside it to arrive.
    const input = '[[sim code_runs=1 output_tokens=50 delay_ms=10]]'
    const tools = [{ type: 'code_interpreter' as const, container }]
    const { data, response } = await clientOf(project, at).responses.create({ model, tools, input }).withResponse()
    const [used] = data.output.flatMap(item => (item.type === 'code_interpreter_call' ? [item.container_id] : []))
    assert.ok(used)
    const { quantities, gateway_id } = await gateway.eventOf(response.headers.get('sluice-call-id'))
    return { used, gateway_id, charged: [quantities.code_container_sessions, quantities.code_container_gb_minutes] }
  }
  const made = await run(first, { type: 'auto' })
  assert.deepEqual(made.charged, [1, 5])
  const bus = busOf(gateway.stack.natsAdmin)
  const told = await openBucket(bus, 'containers', ChargedContainer)
  await eventually(() => told.get(containerKey(project.projectId, hash('sha256', made.used, 'hex').slice(0, 40))))
  const again = await run(sibling, made.used)
  assert.notEqual(again.gateway_id, made.gateway_id)
  assert.deepEqual([again.used, again.charged], [made.used, [undefined, undefined]])
  const bills = await gateway.billsOf(project)
  assert.equal(
    eventsOf(project).reduce((sum, event) => sum + event.cost_nano_usd, 0),
    bills.reduce((sum, bill) => sum + bill.cost_nano_usd, 0),
  )
})

suite('a gateway is killed with calls', () => {
  type Part = 'talking' | 'thinking' | 'spending' | 'revoked'
  const projects = {} as Record<Part, TestProject>
  const calls = {} as Record<Part, string>
  let ofDead: UsageRecordedData | undefined
  let killedAt = 0
  let spokenElsewhere = ''

  before(async () => {
    const dying = await startSibling('dying', { adopts: true })
    for (const part of ['talking', 'thinking', 'spending', 'revoked'] as const)
      projects[part] = await newProject(dying, sibling)
    await withBudget(projects.spending, [first, sibling, dying])
    spokenElsewhere = await makeLongCall(projects.spending, sibling)
    calls.revoked = await makeLongCall(projects.revoked, dying)
    const talk = 'output_tokens=4 call_turns=1000'
    calls.talking = await makeCall(projects.talking, dying, talk)
    calls.spending = await makeCall(projects.spending, dying, talk)
    ;[ofDead] = await someTurns(projects.talking, 2)
    calls.thinking = await makeCall(
      projects.thinking,
      dying,
      'output_tokens=400 delay_ms=10 call_turns=1 call_gap_ms=100',
    )
    await eventually(() => spokenIn(dying.journalDir, projects.thinking).some(tokens => tokens > 0))
    await dying.service.kill()
    killedAt = performance.now()
    const { projectId, keyId } = projects.revoked
    await gateway.manage('DELETE', `/accounts/projects/${projectId}/api-keys/${keyId}`)
    // As a gateway that ends in good order says it: siblings look at once, not in ten seconds.
    writeFileSync(join(journals, 'handed-over'), '')
  })

  const since = (project: TestProject) =>
    eventually(() =>
      turnsOf(project).find(event => event.gateway_id !== ofDead?.gateway_id && event.status === 'completed'),
    )

  test('a sibling meters them on, and each turn is recorded once', async t => {
    const { talking, thinking } = projects
    const after = await since(talking)
    t.diagnostic(`metered on ${Math.round(performance.now() - killedAt)} ms after the kill`)
    // The one that was being spoken is the journal's: it ends under the new gateway, and is not recorded there.
    await eventually(async () => (await gateway.billsOf(thinking)).every(({ ended }) => ended === 'completed'))
    await new Promise(resolve => setTimeout(resolve, 300))
    const [killed, ...more] = turnsOf(thinking)
    assert.deepEqual([killed?.status, killed?.gateway_id, more.length], ['killed', ofDead?.gateway_id, 0])
    assert.ok((killed?.quantities.out_text ?? 0) > 0)
    for (const part of ['talking', 'thinking'] as const)
      await clientOf(projects[part], sibling).realtime.calls.hangup(calls[part])
    const bills = (await gateway.billsOf(talking)).map(({ response_id }) => response_id)
    const metered = bills.slice(bills.indexOf(after.response_id ?? null))
    const unseen = await eventually(async () => {
      const found = await billsMatch(talking)
      return !found.unseen.some(id => metered.includes(id)) && found.unseen
    })
    t.diagnostic(
      `${unseen.length} turns ended between the kill and the new gateway, ${metered.length} were metered since`,
    )
  })

  test('those of a key that is revoked by then are metered by nobody: they are hung up', async () => {
    await untilHungUp(gateway, calls.revoked)
    const [killed, ...more] = await someTurns(projects.revoked, 1)
    assert.deepEqual([killed?.status, more.length], ['killed', 0])
    await billsMatch(projects.revoked)
  })

  test('money that is gone at another gateway hangs up a call where it was made, and one that was taken over', async () => {
    const { spending } = projects
    await since(spending)
    await spend(spending)
    await untilHungUp(gateway, spokenElsewhere)
    await untilHungUp(gateway, calls.spending)
    const [cut] = await eventually(() => {
      const found = turnsOf(spending).filter(event => event.status === 'cut' && event.response_id !== undefined)
      return found.length > 0 && found
    })
    assert.equal(cut?.cut_by?.reason, 'budget_spent')
    await billsMatch(spending)
    await assert.rejects(makeCall(spending, sibling, 'output_tokens=4'), /out of credits/)
  })
})

test('a gateway is killed and nobody has its journal: its calls are hung up after a lease', async t => {
  const alone = await startSibling('alone', { adopts: false })
  const project = await newProject(alone)
  const callId = await makeCall(project, alone, 'output_tokens=4 call_turns=1000')
  await someTurns(project, 1)
  await alone.service.kill()
  const killedAt = performance.now()
  await untilHungUp(gateway, callId)
  const ms = Math.round(performance.now() - killedAt)
  t.diagnostic(`hung up ${ms} ms after the kill, at a lease of ${leaseMs} ms`)
  assert.ok(ms > leaseMs / 2)
})

test('a revoked key hangs its calls up, whichever gateways have them', async () => {
  const project = await newProject(sibling)
  const calls = [await makeLongCall(project, first), await makeLongCall(project, sibling)]
  await gateway.manage('DELETE', `/accounts/projects/${project.projectId}/api-keys/${project.keyId}`)
  for (const callId of calls) await untilHungUp(gateway, callId)
  const events = await someTurns(project, 2)
  assert.deepEqual(
    events.map(event => event.cut_by?.reason),
    ['credential_revoked', 'credential_revoked'],
  )
  await billsMatch(project)
})

test('a gateway that stops: turns of sockets and calls end first, the call is hung up, and all of it is on the bill', async () => {
  const project = await newProject(sibling)
  const callId = await makeCall(project, sibling, 'output_tokens=60 delay_ms=10 call_turns=1 call_gap_ms=50')
  const client = await openSocket(sibling, '/v1/realtime?model=gpt-realtime', project.apiKey)
  client.send({ type: 'response.create', response: { instructions: '[[sim output_tokens=80 delay_ms=10]]' } })
  await client.until('response.output_audio.delta', 5)
  await eventually(async () => (await gateway.billsOf(project)).length === 2)
  const stopped = sibling.service.stop()
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
