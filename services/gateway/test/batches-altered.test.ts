import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { startAlteredProvider } from './altered-provider.ts'
import { GatewayStack, type TestProject } from './gateway-stack.ts'

const gateway = await GatewayStack.start(
  { after },
  {
    services: ['accounts', 'billing', 'budget', 'gateway'],
    env: { GATEWAY_BATCH_POLL_MS: '100', GATEWAY_BATCH_LIST_MS: '500', GATEWAY_BATCH_LEASE_MS: '1000' },
  },
)
const provider = await startAlteredProvider(gateway.stack.simulatorUrl)
after(() => provider.close())
const operator = gateway.stack.services.gateway.plan.readyUrl.replace('/health/ready', '')

interface ShownBatch {
  key: string
  batch_id: string
}
const shown = async () =>
  (await (await fetch(`${operator}/batches`)).json()) as { stuck: ShownBatch[]; unknown: ShownBatch[] }

async function newProject(settings: Record<string, unknown> = {}): Promise<TestProject> {
  const credential = `sk-${randomUUID()}`
  const project = await gateway.newProject({
    settings,
    integrations: {
      openai: { base_url: `${provider.url}/v1`, api_key: credential },
      anthropic: { base_url: provider.url, api_key: credential },
    },
  })
  return { ...project, credential }
}

const requests = (count: number, directives = 'output_tokens=3') =>
  Array.from({ length: count }, (_, index) => ({
    custom_id: `r${index}`,
    params: {
      model: 'claude-haiku-4-5',
      max_tokens: 100,
      messages: [{ role: 'user' as const, content: `Say it. [[sim ${directives}]]` }],
    },
  }))
const resultsOf = (project: TestProject, endpoint = 'messages.batches.result') =>
  gateway.eventsOf(project.projectId).filter(event => event.endpoint === endpoint)

suite('batches whose provider is odd', () => {
  test('results that do not add up are written once, put off and told, and settled when they do', async () => {
    const project = await newProject()
    const client = gateway.anthropic(project.apiKey)
    let short = true
    provider.alter = (_method, path, { status, body }) =>
      short && path.endsWith('/results') ? { status, body: body.split('\n').slice(0, -3).join('\n') } : undefined
    const { id } = await client.messages.batches.create({ requests: requests(40) })
    const downloads = () => provider.seen.filter(line => line.endsWith(`${id}/results`)).length
    const stuck = await eventually(async () => (await shown()).stuck.find(({ batch_id }) => batch_id === id), {
      timeoutMs: 15_000,
    })
    assert.match(await gateway.metrics(), /^gateway_batches_stuck 1$/m)
    assert.ok(stuck.key)
    await delay(500)
    assert.equal(resultsOf(project).length, 38, 'each event was written once')
    assert.equal(downloads(), 3)
    for (let times = 0; times < 5; times++)
      await assert.rejects(client.messages.batches.delete(id), { status: 503 }, 'its results are still needed')
    assert.ok(downloads() <= 4, `${downloads()} downloads, however often its client asks`)
    short = false
    await eventually(() => new Set(resultsOf(project).map(event => event.event_id)).size === 40, { timeoutMs: 15_000 })
    await eventually(async () => (await shown()).stuck.length === 0)
    const cost = new Map(resultsOf(project).map(event => [event.event_id, event.cost_nano_usd]))
    const billed = (await gateway.billsOf(project)).reduce((sum, bill) => sum + bill.cost_nano_usd, 0)
    assert.equal(
      [...cost.values()].reduce((sum, nano) => sum + nano, 0),
      billed,
    )
    assert.equal((await client.messages.batches.delete(id)).type, 'message_batch_deleted')
  })
})
