import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '@sluice/test-env'
import { toFile } from 'openai'
import { startAlteredProvider } from './altered-provider.ts'
import type { TestProject } from './gateway-stack.ts'
import { givenUpSoon, sharedGateway } from './shared-gateway.ts'

const gateway = await sharedGateway(givenUpSoon)
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

function form(purpose: string): FormData {
  const fields = new FormData()
  fields.set('purpose', purpose)
  fields.set('file', new Blob(['some words']), 'words.txt')
  return fields
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
    const stuck = await eventually(async () => (await shown()).stuck.find(({ batch_id }) => batch_id === id))
    assert.match(await gateway.metrics(), /^gateway_batches_stuck 1$/m)
    assert.ok(stuck.key)
    await eventually(() => resultsOf(project).length >= 38)
    await delay(500)
    assert.equal(resultsOf(project).length, 38, 'each event was written once')
    assert.equal(downloads(), 3)
    for (let times = 0; times < 5; times++)
      await assert.rejects(client.messages.batches.delete(id), { status: 503 }, 'its results are still needed')
    assert.ok(downloads() <= 4, `${downloads()} downloads, however often its client asks`)
    short = false
    await eventually(() => new Set(resultsOf(project).map(event => event.event_id)).size === 40)
    await eventually(async () => (await shown()).stuck.length === 0)
    const cost = new Map(resultsOf(project).map(event => [event.event_id, event.cost_nano_usd]))
    const billed = (await gateway.billsOf(project)).reduce((sum, bill) => sum + bill.cost_nano_usd, 0)
    assert.equal(
      [...cost.values()].reduce((sum, nano) => sum + nano, 0),
      billed,
    )
    assert.equal((await client.messages.batches.delete(id)).type, 'message_batch_deleted')
  })

  const chatLine = (custom_id: string, directives: string) =>
    JSON.stringify({
      custom_id,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: `Say it. [[sim ${directives}]]` }] },
    })

  test('what may be the output of a batch that cannot be looked at is not deleted, whatever a project may do else', async () => {
    const project = await newProject({ path_classes: { batches: true, free: true } })
    const client = gateway.openai(project.apiKey)
    const outside = async (method: string, path: string) =>
      fetch(`${gateway.stack.simulatorUrl}/v1/${path}`, {
        method,
        headers: { authorization: `Bearer ${project.credential}` },
      })
    const input = await client.files.create({
      file: await toFile(
        Buffer.from([chatLine('a', 'batch_ms=100 output_tokens=3'), chatLine('b', '')].join('\n')),
        'a',
      ),
      purpose: 'batch',
    })
    let away = true
    provider.alter = (_method, path) =>
      away && path.startsWith('/v1/batches/') ? { status: 500, body: '{"error":{}}' } : undefined
    const batch = await client.batches.create({
      input_file_id: input.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    })
    const output = await eventually(async () => {
      const told = (await (await outside('GET', `batches/${batch.id}`)).json()) as { output_file_id: string | null }
      return told.output_file_id ?? false
    })
    await assert.rejects(client.files.delete(output), { status: 503 })
    assert.equal((await outside('GET', `files/${output}`)).status, 200, 'it is still there')
    assert.match(await (await client.files.content(output)).text(), /"custom_id":"a"/, 'reading takes nothing away')
    const asks = () => provider.seen.filter(line => line === `GET /v1/batches/${batch.id}`).length
    const before = asks()
    const answers = await Promise.all(
      Array.from({ length: 150 }, (_, index) =>
        fetch(`${gateway.url}/v1/files/file-of-nobody-${index}`, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${project.apiKey}` },
        }),
      ),
    )
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [503])
    assert.ok(asks() - before <= 130, `${asks() - before} looks for 150 ids`)
    away = false
    await eventually(() => resultsOf(project, 'batches.result').length === 2)
    await eventually(async () => (await client.files.delete(output)).deleted)
    assert.equal((await outside('GET', `files/${output}`)).status, 404)
  })

  test('more batches than are asked at once stand in nobody’s way', async () => {
    const project = await newProject({ path_classes: { batches: true, free: true } })
    provider.alter = () => undefined
    const client = gateway.openai(project.apiKey)
    const own = await fetch(`${gateway.stack.simulatorUrl}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${project.credential}` },
      body: form('user_data'),
    })
    const { id: fileId } = (await own.json()) as { id: string }
    const input = await client.files.create({
      file: await toFile(Buffer.from(chatLine('a', 'batch_ms=60000 output_tokens=3')), 'a'),
      purpose: 'batch',
    })
    const batches: string[] = []
    for (let index = 0; index < 25; index++) {
      const { id } = await client.batches.create({
        input_file_id: input.id,
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      })
      batches.push(id)
    }
    await assert.rejects(client.files.delete(fileId), { status: 503 }, 'five were not asked')
    assert.equal((await client.files.delete(fileId)).deleted, true, 'asked again, they were')
    // As long as they run they are looked at, again and again.
    await Promise.all(batches.map(id => client.batches.cancel(id)))
  })

  const adopt = (key: string, body: Record<string, unknown>) =>
    fetch(`${operator}/batches/unknown/${key}/adopt`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const unknown = (count: number) =>
    eventually(async () => {
      const found = (await shown()).unknown
      return found.length === count ? found : false
    })

  test('a batch made behind our back can be given to a key of a project by hand, which pays for it', async () => {
    const project = await gateway.newProject()
    const other = await gateway.newProject()
    const answer = await fetch(`${gateway.stack.simulatorUrl}/v1/messages/batches`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': 'simulator', 'anthropic-version': '2023-06-01' },
      body: JSON.stringify({ requests: requests(4) }),
    })
    const { id } = (await answer.json()) as { id: string }
    const [found] = await unknown(1)
    assert.equal(found?.batch_id, id)
    const { key } = found
    const whose = { project_id: project.projectId, key_id: project.keyId, by: 'ops', reason: 'made by their cron job' }
    assert.equal((await adopt(key, { ...whose, reason: undefined })).status, 400)
    assert.equal((await adopt(key, { ...whose, key_id: other.keyId })).status, 400, 'a key of another project')
    assert.equal((await adopt(`${key}x`, whose)).status, 404)
    assert.equal((await adopt(key, whose)).status, 200)
    await eventually(() => resultsOf(project).length === 4)
    for (const event of resultsOf(project)) {
      assert.equal(event.identity.key_id, project.keyId)
      // Nobody here saw what was asked for: it is named by what served it.
      assert.equal(event.requested_model, 'claude-haiku-4-5-20251001')
      assert.ok(event.priced && event.cost_nano_usd > 0)
    }
    assert.match(gateway.logs(), /"by":"ops","reason":"made by their cron job"/)
    assert.equal((await adopt(key, whose)).status, 404, 'once')
    assert.equal((await gateway.anthropic(project.apiKey).messages.batches.retrieve(id)).id, id)
  })

  test('of two lost answers that fit two projects one is given by hand, and the other follows', async () => {
    const projects = [await gateway.newProject(), await gateway.newProject()]
    const [first, second] = projects
    const made = async () => {
      const answer = await fetch(`${gateway.stack.simulatorUrl}/v1/messages/batches?limit=1000`, {
        headers: { 'x-api-key': 'simulator', 'anthropic-version': '2023-06-01' },
      })
      return ((await answer.json()) as { data: unknown[] }).data.length
    }
    const madeBefore = await made()
    const asked = projects.map(({ apiKey }) =>
      gateway
        .post(
          '/anthropic/v1/messages/batches',
          apiKey,
          { requests: requests(6, 'first_delay_ms=4000 output_tokens=3') },
          { headers: { 'anthropic-version': '2023-06-01', 'Sluice-Tag-run': 'lost' } },
        )
        .catch(() => undefined),
    )
    await eventually(async () => (await made()) === madeBefore + projects.length)
    await gateway.stack.services.gateway.kill()
    await Promise.all(asked)
    await gateway.stack.services.gateway.start()
    await gateway.stack.services.gateway.untilReady()
    const [one] = await unknown(2)
    assert.ok(one && first && second)
    const { projectId, keyId } = first
    const answer = await adopt(one.key, { project_id: projectId, key_id: keyId, by: 'ops', reason: 'asked them' })
    assert.equal(answer.status, 200, await answer.text())
    for (const project of projects) {
      await eventually(() => resultsOf(project).length === 6)
      assert.ok(
        resultsOf(project).every(event => event.claimed.tags?.run === 'lost'),
        'as its creation had asked',
      )
    }
    await unknown(0)
  })
})
