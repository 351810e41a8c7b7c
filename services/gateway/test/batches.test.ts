import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { openBucket } from '@sluice/bus'
import { StoredFile, storedFileKey } from '@sluice/contracts'
import { type BillRecord, hashCredential } from '@sluice/simulator'
import { freePort, startService } from '@sluice/stack'
import { busOf, eventually, sized } from '@sluice/test-env'
import OpenAI, { toFile } from 'openai'
import pg from 'pg'
import { startAlteredProvider } from './altered-provider.ts'
import type { TestProject } from './gateway-stack.ts'
import { moneyOutlivesItsCall } from './held-beyond.ts'
import { hostedToolsSettleInBatches } from './paths/hosted-tools.ts'
import { givenUpSoon, sharedGateway } from './shared-gateway.ts'
import { unreadResultsAreEstimated } from './unread-results.ts'

const gateway = await sharedGateway(givenUpSoon)
const operator = gateway.stack.services.gateway.plan.readyUrl.replace('/health/ready', '')

const request = (custom_id: string, directives: string, model = 'claude-haiku-4-5') => ({
  custom_id,
  params: { model, max_tokens: 1_000, messages: [{ role: 'user' as const, content: `Say it. [[sim ${directives}]]` }] },
})
const many = (count: number, directives: string) =>
  Array.from({ length: count }, (_, index) => request(`r${index}`, index === 0 ? directives : 'output_tokens=3'))

/** What a project has cost in billing's ledger: each event once, however often it was sent. */
async function ledgerOf(project: TestProject): Promise<{ events: number; cost: number }> {
  const client = new pg.Client({ connectionString: gateway.stack.databaseUrls.billing })
  await client.connect()
  const { rows } = await client.query(
    'select coalesce(sum(event_count), 0)::int as events, coalesce(sum(cost_nano_usd), 0)::text as cost from billing.ledger_transactions where project_id = $1',
    [project.projectId],
  )
  await client.end()
  return { events: rows[0].events, cost: Number(rows[0].cost) }
}

/** The requests of batches on the provider's own bill. */
async function batchBillsOf(credential: string): Promise<BillRecord[]> {
  const query = new URLSearchParams({ credential_sha256: hashCredential(credential) })
  const answer = await fetch(`${gateway.stack.simulatorUrl}/simulator/bill?${query}`)
  const { records } = (await answer.json()) as { records: BillRecord[] }
  return records.filter(({ endpoint }) => endpoint === '/v1/messages/batches')
}
const costOf = (bills: readonly BillRecord[]) => bills.reduce((sum, bill) => sum + bill.cost_nano_usd, 0)

const batchEventsOf = (project: TestProject) =>
  gateway.eventsOf(project.projectId).filter(event => event.endpoint === 'batches.result')
const resultsOf = (project: TestProject) =>
  gateway.eventsOf(project.projectId).filter(event => event.endpoint === 'messages.batches.result')

/** Waits until every result has its event and the ledger has what the provider has billed, to the nano-dollar. */
async function settled(project: TestProject, results: number): Promise<void> {
  await eventually(() => new Set(resultsOf(project).map(event => event.settlement_key)).size >= results, {
    message: `${results} results of ${project.projectId}`,
  })
  if (project.credential === 'simulator') return
  const billed = costOf(await batchBillsOf(project.credential))
  await eventually(async () => assert.equal((await ledgerOf(project)).cost, billed) === undefined)
}

const shownToOperator = async () =>
  (await (await fetch(`${operator}/batches`)).json()) as {
    running: number
    unknown: { key: string; batch_id: string }[]
  }

unreadResultsAreEstimated(gateway, operator)
moneyOutlivesItsCall(gateway)

suite('message batches', () => {
  test('a batch is settled to its maker at the provider’s own bill, whoever downloads, to the nano-dollar', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const { body: other } = await gateway.manage('POST', `/accounts/projects/${project.projectId}/api-keys`, {
      name: 'other',
    })
    const client = gateway.anthropic(project.apiKey)
    const { data: created, response } = await client.messages.batches
      .create(
        {
          requests: [
            request('first', 'batch_ms=400 input_tokens=1001 cached=200 cache_write=100 output_tokens=21 searches=1'),
            request('hour', 'input_tokens=501 cache_write_1h=99 output_tokens=11 reasoning=5', 'claude-sonnet-4-6'),
            request('dated', 'input_tokens=77 output_tokens=3', 'claude-haiku-4-5-20251001'),
            request('broken', 'result=errored'),
            request('late', 'result=expired'),
          ],
        },
        { headers: { 'Sluice-Tag-run': 'nightly' } },
      )
      .withResponse()
    assert.equal(created.processing_status, 'in_progress')
    const creation = await gateway.eventOf(response.headers.get('sluice-call-id'))
    assert.deepEqual(
      [creation.endpoint, creation.cost_nano_usd, creation.quantities, creation.status],
      ['messages.batches.create', 0, {}, 'completed'],
    )

    const downloader = await eventually(async () => {
      const answer = await fetch(`${gateway.url}/v1/models`, { headers: { 'x-api-key': other.value } })
      return answer.ok && gateway.anthropic(other.value)
    })
    const ended = await eventually(async () => {
      const batch = await downloader.messages.batches.retrieve(created.id)
      return batch.processing_status === 'ended' && batch
    })
    assert.equal(ended.results_url, `${gateway.stack.anthropicBaseUrl}/v1/messages/batches/${created.id}/results`)
    const downloaded: string[] = []
    for (let times = 0; times < 2; times++)
      for await (const { custom_id } of await downloader.messages.batches.results(created.id))
        downloaded.push(custom_id)
    assert.deepEqual([...new Set(downloaded)].sort(), ['broken', 'dated', 'first', 'hour', 'late'])

    await settled(project, 5)
    const bills = await batchBillsOf(project.credential)
    assert.equal(bills.length, 3)
    const events = resultsOf(project)
    assert.equal(events.length, 5, 'one event a request')
    for (const bill of bills) {
      const event = events.find(candidate => candidate.response_id === bill.response_id)
      assert.equal(event?.cost_nano_usd, bill.cost_nano_usd, bill.response_id ?? '')
      assert.deepEqual(event?.modifiers.batch, true)
      assert.ok(Object.values(event?.provenance ?? {}).every(mark => mark === 'measured'))
    }
    for (const event of events) {
      assert.equal(event.identity.key_id, project.keyId, 'the maker’s, not the downloader’s')
      assert.deepEqual(event.claimed.tags, { run: 'nightly' })
      assert.equal(event.admitted_at_ms, creation.admitted_at_ms)
      assert.ok(event.settlement_key?.startsWith(`${created.id}/`))
    }
    const outcomes = Object.fromEntries(
      events.map(event => [event.settlement_key?.split('/')[1], event.error_code ?? event.status]),
    )
    assert.deepEqual(outcomes, {
      first: 'completed',
      hour: 'completed',
      dated: 'completed',
      broken: 'batch_errored',
      late: 'batch_expired',
    })
  })

  test('a cancelled batch costs what was worked on until then', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = gateway.anthropic(project.apiKey)
    const { id } = await client.messages.batches.create({ requests: many(20, 'batch_ms=6000 output_tokens=4') })
    // The gateway looks, and the provider works on what is due.
    await eventually(async () => (await batchBillsOf(project.credential)).length > 0)
    await client.messages.batches.cancel(id)
    await settled(project, 20)
    const bills = await batchBillsOf(project.credential)
    assert.ok(bills.length > 0 && bills.length < 20, `${bills.length}`)
    assert.equal(resultsOf(project).filter(event => event.error_code === 'batch_canceled').length, 20 - bills.length)
  })

  test('a batch that is deleted at once is settled first', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = gateway.anthropic(project.apiKey)
    const { id } = await client.messages.batches.create({ requests: many(20, 'output_tokens=4') })
    assert.equal((await client.messages.batches.delete(id)).type, 'message_batch_deleted')
    await settled(project, 20)
    await assert.rejects(client.messages.batches.retrieve(id), Anthropic.NotFoundError)
  })

  test('projects that share the operator’s credential see their own batches only', async () => {
    const [ours, theirs] = [await gateway.newProject(), await gateway.newProject()]
    const [our, their] = [gateway.anthropic(ours.apiKey), gateway.anthropic(theirs.apiKey)]
    const ids: string[] = []
    for (let index = 0; index < 5; index++) {
      ids.push((await our.messages.batches.create({ requests: [request('a', 'output_tokens=2')] })).id)
      if (index % 2 === 0) await their.messages.batches.create({ requests: [request('b', 'output_tokens=2')] })
    }
    const listed: string[] = []
    for await (const batch of our.messages.batches.list({ limit: 2 })) listed.push(batch.id)
    assert.deepEqual(listed, [...ids].reverse())
    const [newest = '', second = '', third = ''] = listed
    const before = await our.messages.batches.list({ before_id: third, limit: 1 })
    assert.deepEqual([before.data.map(({ id }) => id), before.has_more], [[second], true])
    assert.equal((await their.messages.batches.list()).data.length, 3)

    for (const call of [
      () => their.messages.batches.retrieve(newest),
      () => their.messages.batches.cancel(newest),
      () => their.messages.batches.delete(newest),
      () => their.messages.batches.list({ after_id: newest }),
      () => our.messages.batches.retrieve('msgbatch_of_nobody'),
    ])
      await assert.rejects(call(), (error: unknown) => {
        assert.ok(error instanceof Anthropic.NotFoundError)
        assert.equal((error.error as { error: { type: string } }).error.type, 'not_found_error')
        return true
      })
    const results = await gateway
      .anthropic(theirs.apiKey)
      .get(`/v1/messages/batches/${newest}/results`)
      .asResponse()
      .catch(error => error)
    assert.ok(results instanceof Anthropic.NotFoundError)
    assert.ok((await our.messages.batches.retrieve(newest)).id === newest)
    await settled(ours, 5)
    await settled(theirs, 3)
  })

  test('a batch with one model that is not allowed or has no price never reaches the provider', async () => {
    const project = await gateway.newProject({
      ownCredential: true,
      allowedModels: [{ provider: 'anthropic', model: 'claude-haiku-*' }],
    })
    const open = await gateway.newProject({ ownCredential: true })
    const [strict, client] = [gateway.anthropic(project.apiKey), gateway.anthropic(open.apiKey)]
    const good = request('a', 'output_tokens=1')
    await assert.rejects(
      strict.messages.batches.create({ requests: [good, request('b', '', 'claude-opus-4-5')] }),
      Anthropic.PermissionDeniedError,
    )
    await assert.rejects(client.messages.batches.create({ requests: [good, request('b', '', 'claude-of-nobody')] }), {
      status: 400,
    })
    await assert.rejects(client.messages.batches.create({ requests: [good, good] }), { status: 400 })
    await assert.rejects(client.messages.batches.create({ requests: [] }), { status: 400 })
    const doubled = '{"requests":[{"custom_id":"a","params":{"model":"claude-haiku-4-5","model":"claude-opus-4-5"}}]}'
    assert.equal((await gateway.post('/anthropic/v1/messages/batches', open.apiKey, doubled)).status, 400)
    for (const key of [project.credential, open.credential]) {
      const answer = await fetch(`${gateway.stack.simulatorUrl}/v1/messages/batches`, {
        headers: { 'x-api-key': key, 'anthropic-version': '2023-06-01' },
      })
      assert.deepEqual(((await answer.json()) as { data: unknown[] }).data, [])
    }
  })

  test('a spent budget refuses a new batch, and lets what is there be seen', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const client = gateway.anthropic(project.apiKey)
    const { id } = await client.messages.batches.create({ requests: [request('a', 'output_tokens=900')] })
    await settled(project, 1)
    await gateway.manage('POST', `/accounts/projects/${project.projectId}/budgets`, {
      name: 'batches',
      scope: { key: project.keyId },
      unit: 'usd',
      limit: '0.001',
      window: 'day',
      mode: 'soft',
    })
    await eventually(async () => {
      const error = await client.messages.batches
        .create({ requests: [request('b', 'output_tokens=1')] })
        .catch((refused: unknown) => refused)
      return error instanceof Anthropic.APIError && /is spent/.test(error.message)
    })
    assert.equal((await client.messages.batches.retrieve(id)).id, id)
    assert.ok((await client.messages.batches.list()).data.length >= 1)
    assert.ok(await client.messages.batches.results(id))
  })

  test('a gateway killed in the middle of settling pays every request, and none twice', async t => {
    const provider = await startAlteredProvider(gateway.stack.simulatorUrl)
    t.after(() => provider.close())
    const credential = `sk-${randomUUID()}`
    const integrations = { anthropic: { base_url: provider.url, api_key: credential } }
    const project = { ...(await gateway.newProject({ integrations })), credential }
    const client = gateway.anthropic(project.apiKey)
    const { count, given } = sized({ small: { count: 200, given: 60 }, full: { count: 1_000, given: 300 } })
    let isWhole = false
    provider.alter = (_method, path, { status, body }) =>
      !isWhole && path.endsWith('/results')
        ? { status, body: body.split('\n').slice(0, given).join('\n').concat('\n'), stalls: true }
        : undefined
    await client.messages.batches.create({ requests: many(count, 'batch_ms=300 output_tokens=3') })
    await eventually(() => resultsOf(project).length >= given)
    await gateway.stack.services.gateway.kill()
    isWhole = true
    await gateway.stack.services.gateway.start()
    await gateway.stack.services.gateway.untilReady()
    await settled(project, count)
    const bills = await batchBillsOf(project.credential)
    assert.equal(bills.length, count)
    assert.ok(resultsOf(project).length > count, 'some were settled twice, under the same ids')
    assert.equal(new Set(resultsOf(project).map(event => event.event_id)).size, count)
  })

  test('a batch whose answer was lost with its gateway is found, and paid by who had asked for it', async () => {
    const project = await gateway.newProject({ ownCredential: true })
    const asked = gateway
      .post(
        '/anthropic/v1/messages/batches',
        project.apiKey,
        { requests: many(3, 'first_delay_ms=3000 output_tokens=3') },
        { headers: { 'anthropic-version': '2023-06-01' } },
      )
      .catch(() => undefined)
    await eventually(async () => (await batchBillsOf(project.credential)).length === 3)
    await gateway.stack.services.gateway.kill()
    await asked
    await gateway.stack.services.gateway.start()
    await gateway.stack.services.gateway.untilReady()
    await settled(project, 3)
    const creation = gateway
      .eventsOf(project.projectId)
      .find(event => event.endpoint === 'messages.batches.create' && event.status === 'killed')
    assert.equal(creation?.cost_nano_usd, 0)
    assert.equal((await gateway.anthropic(project.apiKey).messages.batches.list()).data.length, 1)
  })

  test('a batch made behind our back is told to the operator, and is nobody’s', async () => {
    const project = await gateway.newProject()
    const outside = new Anthropic({ baseURL: gateway.stack.simulatorUrl, apiKey: project.credential, maxRetries: 0 })
    const { id } = await outside.messages.batches.create({ requests: many(7, 'output_tokens=3') })
    const unknown = await eventually(async () =>
      (await shownToOperator()).unknown.find(({ batch_id }) => batch_id === id),
    )
    assert.match(await gateway.metrics(), /^gateway_batches_unknown [1-9]/m)
    await assert.rejects(gateway.anthropic(project.apiKey).messages.batches.retrieve(id), Anthropic.NotFoundError)
    const answer = await fetch(`${operator}/batches/unknown/${unknown.key}/dismiss`, { method: 'POST' })
    assert.equal(answer.status, 200)
    await eventually(async () => !(await shownToOperator()).unknown.some(({ batch_id }) => batch_id === id))
    // Listed again and again, it stays dismissed.
    await new Promise(resolve => setTimeout(resolve, 1_200))
    assert.ok(!(await shownToOperator()).unknown.some(({ batch_id }) => batch_id === id))
  })

  test('of two gateways one settles a batch, and what one has made the other shows', async t => {
    const { plan } = gateway.stack.services.gateway
    const [port, operatorPort] = [await freePort(), await freePort()]
    const home = join(gateway.stack.home, 'second')
    mkdirSync(join(home, 'logs'), { recursive: true })
    const second = await startService(
      {
        ...plan,
        env: {
          ...plan.env,
          GATEWAY_PORT: String(port),
          GATEWAY_OPERATOR_PORT: String(operatorPort),
          GATEWAY_JOURNAL_DIR: join(home, 'journal'),
        },
        url: `http://127.0.0.1:${port}`,
        readyUrl: `http://127.0.0.1:${operatorPort}/health/ready`,
      },
      { home, restart: false, log: () => {} },
    )
    t.after(() => second.stop())
    await second.untilReady()
    const project = await gateway.newProject({ ownCredential: true })
    const client = gateway.anthropic(project.apiKey)
    const elsewhere = new Anthropic({
      baseURL: `http://127.0.0.1:${port}/anthropic`,
      apiKey: project.apiKey,
      maxRetries: 0,
    })
    const batches = sized({ small: 4, full: 12 })
    const began = performance.now()
    for (let index = 0; index < batches; index++) {
      const maker = index % 2 === 0 ? client : elsewhere
      const { id } = await maker.messages.batches.create({ requests: many(20, 'batch_ms=200 output_tokens=3') })
      const shown = await (index % 2 === 0 ? elsewhere : client).messages.batches.retrieve(id)
      assert.equal(shown.id, id)
    }
    t.diagnostic(`${Math.round((performance.now() - began) / batches)} ms to create a batch and see it elsewhere`)
    await settled(project, batches * 20)
    await eventually(async () => (await shownToOperator()).running === 0)
    assert.equal(resultsOf(project).length, batches * 20, 'settled once, not only paid once')
    const settlers = new Set(resultsOf(project).map(event => event.gateway_id))
    t.diagnostic(`${settlers.size} gateways settled ${batches} batches`)
  })
})

suite('batches of files', () => {
  const line = (custom_id: string, directives: string, model = 'gpt-5.4-mini') =>
    JSON.stringify({
      custom_id,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model, messages: [{ role: 'user', content: `Say it. [[sim ${directives}]]` }] },
    })
  const upload = async (client: OpenAI, lines: readonly string[]) =>
    client.files.create({ file: await toFile(Buffer.from(lines.join('\n')), 'requests.jsonl'), purpose: 'batch' })
  const forChat = { endpoint: '/v1/chat/completions', completion_window: '24h' } as const

  test('they are closed until an admin opens the class', async () => {
    const project = await gateway.newProject()
    const client = gateway.openai(project.apiKey)
    for (const call of [() => client.batches.list(), () => upload(client, [line('a', '')]), () => client.files.list()])
      await assert.rejects(call(), (error: unknown) => {
        assert.ok(error instanceof OpenAI.PermissionDeniedError)
        assert.match(error.message, /path class "(batches|free)", which is off/)
        return true
      })
  })

  test('a batch is settled from its files at the provider’s own bill, to the nano-dollar', async () => {
    const project = await gateway.newProject({ ownCredential: true, settings: { path_classes: { batches: true } } })
    const client = gateway.openai(project.apiKey)
    const file = await upload(client, [
      line('first', 'batch_ms=300 input_tokens=1001 cached=200 output_tokens=21'),
      line('other', 'input_tokens=77 output_tokens=5 reasoning=3', 'gpt-4o'),
      line('broken', 'result=errored'),
      line('late', 'result=expired'),
    ])
    const created = await client.batches.create({ input_file_id: file.id, ...forChat })
    const ended = await eventually(async () => {
      const batch = await client.batches.retrieve(created.id)
      return batch.output_file_id && batch.error_file_id ? batch : false
    })
    assert.match(await (await client.files.content(ended.output_file_id ?? '')).text(), /"custom_id":"first"/)
    assert.match(await (await client.files.content(ended.error_file_id ?? '')).text(), /batch_expired/)
    await eventually(() => batchEventsOf(project).length >= 4)
    const bills = (await gateway.billsOf(project)).filter(bill => bill.endpoint === '/v1/batches')
    assert.equal(bills.length, 2)
    await eventually(async () => (await ledgerOf(project)).cost === costOf(bills))
    const events = batchEventsOf(project)
    assert.equal(events.length, 4)
    for (const bill of bills) {
      const event = events.find(candidate => candidate.response_id === bill.response_id)
      assert.deepEqual([event?.cost_nano_usd, event?.modifiers.batch], [bill.cost_nano_usd, true])
    }
    assert.deepEqual(
      Object.fromEntries(events.map(event => [event.settlement_key?.split('/')[1], event.error_code ?? event.status])),
      { first: 'completed', other: 'completed', broken: 'provider_500', late: 'batch_expired' },
    )
    assert.equal((await client.files.delete(ended.output_file_id ?? '')).deleted, true)
    assert.deepEqual(
      (await client.batches.list()).data.map(({ id }) => id),
      [created.id],
    )
  })

  hostedToolsSettleInBatches(gateway)

  test('a line of 500 vectors, larger than any other, is charged to the token', async () => {
    const project = await gateway.newProject({ ownCredential: true, settings: { path_classes: { batches: true } } })
    const client = gateway.openai(project.apiKey)
    const input = Array.from({ length: 500 }, (_, index) => `The sea of number ${index}.`)
    const body = { model: 'text-embedding-3-large', input }
    const asked = { custom_id: 'vectors', method: 'POST', url: '/v1/embeddings', body }
    const file = await upload(client, [JSON.stringify(asked)])
    const { id } = await client.batches.create({ input_file_id: file.id, ...forChat, endpoint: '/v1/embeddings' })
    const [event] = await eventually(() => batchEventsOf(project).length > 0 && batchEventsOf(project))
    const output = (await client.batches.retrieve(id)).output_file_id ?? ''
    assert.ok((await (await client.files.content(output)).arrayBuffer()).byteLength > 17 * 1024 * 1024)
    const [bill] = (await gateway.billsOf(project)).filter(({ endpoint }) => endpoint === '/v1/batches')
    assert.ok(bill && bill.cost_nano_usd > 0)
    assert.equal(event?.cost_nano_usd, bill.cost_nano_usd)
    assert.deepEqual(event?.provenance, { in_text: 'measured' })
    const { unreadable } = (await (await fetch(`${operator}/batches`)).json()) as { unreadable: { batch_id: string }[] }
    assert.ok(!unreadable.some(({ batch_id }) => batch_id === id))
  })

  test('results that are deleted at once are settled first', async () => {
    const project = await gateway.newProject({ ownCredential: true, settings: { path_classes: { batches: true } } })
    const client = gateway.openai(project.apiKey)
    const lines = Array.from({ length: 30 }, (_, index) => line(`r${index}`, 'output_tokens=3'))
    const { id } = await upload(client, lines)
    const batch = await client.batches.create({ input_file_id: id, ...forChat })
    const { output_file_id: output } = await client.batches.retrieve(batch.id)
    await client.files.delete(output ?? '')
    const bills = (await gateway.billsOf(project)).filter(bill => bill.endpoint === '/v1/batches')
    assert.equal(bills.length, 30)
    await eventually(async () => (await ledgerOf(project)).cost === costOf(bills))
  })

  test('a file of another project, or of nobody, makes no batch and is not there', async () => {
    const open = { settings: { path_classes: { batches: true } } }
    const [ours, theirs] = [await gateway.newProject(open), await gateway.newProject(open)]
    const [our, their] = [gateway.openai(ours.apiKey), gateway.openai(theirs.apiKey)]
    const file = await upload(our, [line('a', 'output_tokens=1')])
    const batch = await our.batches.create({ input_file_id: file.id, ...forChat })
    const output = await eventually(async () => (await our.batches.retrieve(batch.id)).output_file_id)
    const outside = new OpenAI({ baseURL: `${gateway.stack.simulatorUrl}/v1`, apiKey: 'simulator', maxRetries: 0 })
    const unseen = await upload(outside, [line('a', 'output_tokens=1', 'gpt-5.5')])
    for (const call of [
      () => their.files.retrieve(file.id),
      () => their.files.content(file.id),
      () => their.files.content(output),
      () => their.files.delete(file.id),
      () => their.files.delete(output),
      () => their.batches.create({ input_file_id: file.id, ...forChat }),
      () => their.batches.retrieve(batch.id),
      () => their.batches.cancel(batch.id),
      () => our.batches.create({ input_file_id: unseen.id, ...forChat }),
      () => our.files.content(unseen.id),
    ])
      await assert.rejects(call(), OpenAI.NotFoundError)
    assert.deepEqual((await their.files.list()).data, [])
    assert.deepEqual((await our.files.list()).data.map(({ id }) => id).sort(), [file.id, output].sort())
  })

  test('a file with a request that cannot be accounted is not taken, and a model is allowed when its batch is made', async () => {
    const project = await gateway.newProject({
      ownCredential: true,
      settings: { path_classes: { batches: true } },
      allowedModels: [{ provider: 'openai', model: 'gpt-5.4*' }],
    })
    const client = gateway.openai(project.apiKey)
    const images = JSON.stringify({
      custom_id: 'b',
      method: 'POST',
      url: '/v1/images/generations',
      body: { model: 'x' },
    })
    for (const lines of [
      [line('a', ''), line('a', '')],
      [line('a', ''), images],
      [line('a', ''), '{"custom_id":"b","url":"/v1/chat/completions","body":{"model":"gpt-5.4","model":"gpt-5.5"}}'],
      ['{"custom_id":"b","url":"/v1/chat/completions","body":{}}'],
      ['no json'],
      [''],
    ])
      await assert.rejects(upload(client, lines), OpenAI.BadRequestError, lines.join())
    const wrongPurpose = client.files.create({ file: await toFile(Buffer.from('x'), 'x.txt'), purpose: 'user_data' })
    await assert.rejects(wrongPurpose, OpenAI.BadRequestError)
    const { id } = await upload(client, [line('a', ''), line('b', '', 'gpt-4o')])
    await assert.rejects(client.batches.create({ input_file_id: id, ...forChat }), OpenAI.PermissionDeniedError)
    await assert.rejects(
      client.batches.create({ input_file_id: id, endpoint: '/v1/responses', completion_window: '24h' }),
      OpenAI.BadRequestError,
    )
    assert.equal((await gateway.billsOf(project)).length, 0)
  })

  test('a file of before models that requests name for tools were looked for makes no batch: it is to be uploaded again', async () => {
    const project = await gateway.newProject({ ownCredential: true, settings: { path_classes: { batches: true } } })
    const client = gateway.openai(project.apiKey)
    const { id } = await upload(client, [line('a', 'output_tokens=2')])
    const files = await openBucket(busOf(gateway.stack.natsAdmin), 'files', StoredFile)
    const key = storedFileKey(project.projectId, createHash('sha256').update(id).digest('hex').slice(0, 32))
    const kept = await files.get(key)
    assert.ok(kept)
    assert.deepEqual(kept.requests.named_models, [])
    const { named_models: _, ...requests } = kept.requests
    await files.put(key, { ...kept, requests })
    await assert.rejects(client.batches.create({ input_file_id: id, ...forChat }), (error: unknown) => {
      assert.ok(error instanceof OpenAI.BadRequestError)
      assert.match(error.message, /Upload it again/)
      return true
    })
    const again = await upload(client, [line('a', 'output_tokens=2')])
    assert.ok((await client.batches.create({ input_file_id: again.id, ...forChat })).id)
    await eventually(() => batchEventsOf(project).length === 1)
  })
})
