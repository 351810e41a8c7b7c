import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import type { UsageRecordedData } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'
import { eventually, sized } from '@sluice/test-env'
import OpenAI, { toFile } from 'openai'
import { EventFeed } from '../event-feed.ts'
import { readLedger } from '../faults/accounts-of-a-run.ts'
import { startSibling } from '../faults/more-gateways.ts'
import { type NewProject, newProject } from '../new-project.ts'
import { storyStack } from '../story-stack.ts'
import { aiSdk } from './ai-sdk.ts'
import { anthropicSdk } from './anthropic-sdk.ts'
import { billedQuantities, pricedQuantities } from './bill-quantities.ts'
import { type ClientCalls, headersOf, promptOf, type Setup } from './client-calls.ts'
import { langchain } from './langchain.ts'
import { ApiScope, callByName, everyMethod, Meshagent, notingClient, ours } from './meshagent-methods.ts'
import { openaiMedia, silence } from './openai-media.ts'
import { openaiRealtime } from './openai-realtime.ts'
import { openaiSdk } from './openai-sdk.ts'
import { caseHeader, ProviderArrivals } from './provider-arrivals.ts'
import { eachPathOnce, endpointOf, everyWay, type Mode, modes } from './ways.ts'

/** Every path through every client; a next path is a row in the client's file. */
const rows: readonly ClientCalls[] = [
  ...openaiSdk,
  ...openaiMedia,
  ...openaiRealtime,
  ...anthropicSdk,
  ...langchain,
  ...aiSdk,
]

const ways = sized({ small: eachPathOnce, full: everyWay })(rows)

const { stack, admin: management } = await storyStack()
const arrivals = await ProviderArrivals.fromNowOn(stack.simulatorUrl)
let project: NewProject
let feed: EventFeed
/** Lines of the bill up to here are of calls before these. */
let billedUpTo = 0

async function billOf(event: UsageRecordedData): Promise<BillRecord> {
  return eventually(async () => {
    // A turn on a socket has no request of its own.
    const bill =
      (await readBill(event.provider_request_id)) ??
      (await readBills()).records.find(({ response_id }) => response_id === event.response_id)
    return bill !== undefined && bill.ended !== 'running' && bill
  })
}

async function readBill(id: string | undefined): Promise<BillRecord | undefined> {
  if (id === undefined) return undefined
  const answer = await fetch(`${stack.simulatorUrl}/simulator/bill/${id}`)
  const found = (await answer.json()) as BillRecord
  return answer.ok ? found : undefined
}

async function readBills(): Promise<{ records: BillRecord[]; next_since: number }> {
  const answer = await fetch(`${stack.simulatorUrl}/simulator/bill?since=${billedUpTo}`)
  return (await answer.json()) as { records: BillRecord[]; next_since: number }
}

/** How a client of the case points at the gateway, and how its calls are found again. */
const setupOf = (name: string): Setup => ({
  openaiBaseUrl: stack.openaiBaseUrl,
  anthropicBaseUrl: stack.anthropicBaseUrl,
  apiKey: project.apiKey,
  headers: { 'sluice-tag-case': name, [caseHeader]: name },
})

/** Makes the call as its user would, and leaves where the mode says so, if it has not ended by then. @param slower so many times its provider's time */
async function call(row: ClientCalls, mode: Mode, name: string, slower: number): Promise<void> {
  const leave = new AbortController()
  const isLeft = mode.endsWith('left')
  const tokens = row.orders?.includes('tool=') ? '' : ' output_tokens=60'
  const isPlain = mode.startsWith('plain')
  // A plain call is left while its provider thinks, by a wide margin, a stream at its third piece.
  const pace = isLeft
    ? `first_delay_ms=${isPlain ? 2_500 * slower : 1} delay_ms=${(isPlain ? 25 : row.hasFewPieces ? 500 : 60) * slower}${tokens}`
    : tokens
  const orders = `${row.orders ?? ''} ${pace}`.trim()
  const setup = setupOf(name)
  if (row.takesNoPrompt) Object.assign(setup.headers, headersOf(orders))
  const left = isLeft && isPlain ? arrivals.of(name).then(() => leave.abort()) : undefined
  try {
    if (isPlain) await row.plain?.(setup, orders, leave.signal)
    else {
      let seen = 0
      for await (const _ of (await row.streamed?.(setup, orders, leave.signal)) ?? [])
        if (++seen === 3 && isLeft) leave.abort()
      assert.ok(seen > 2, 'a stream comes in pieces')
    }
  } catch (error) {
    if (!leave.signal.aborted) throw error
  }
  await left
}

// Most of the time they wait for their provider.
suite('official clients', { concurrency: 16 }, () => {
  before(async () => {
    project = await newProject(stack, management, {
      on_client_abort: { openai: 'drain', anthropic: 'drain' },
      path_classes: { stored: true, free: true, batches: true },
    })
    feed = new EventFeed(stack)
    billedUpTo = (await readBills()).next_since
    // What measures sound is started by the first that comes: where that takes long, its length is told by its size.
    await eventually(async () => {
      const file = await toFile(silence(1), 'a.wav')
      const client = openai({ 'sluice-tag-case': 'heard first' })
      await client.audio.transcriptions.create({ model: 'whisper-1', file, response_format: 'text' })
      const heard = feed.byTag('case').get('heard first') ?? []
      return heard.some(({ quantities }) => quantities.audio_ms_in === 1_000)
    })
  })
  for (const { row, mode } of ways) {
    const name = `${row.client}, ${row.endpoint}, ${mode}`
    test(`a call settles to the provider’s own bill, to the token and the nano-dollar: ${name}`, async t => {
      const settles = row.settles ?? [endpointOf(row)]
      const settled = async (slower: number) => {
        const named = slower === 1 ? name : `${name}, ${slower} times as slow`
        await call(row, mode, named, slower)
        const events = await eventually(
          () => {
            const found = feed.byTag('case').get(named) ?? []
            return found.length >= settles.length && found
          },
          { message: 'its events' },
        )
        assert.deepEqual(events.map(event => event.endpoint).sort(), settles, 'one attempt, one event')
        return events
      }
      let events = await settled(1)
      // The machine was so slow that it had ended before its client could leave.
      if (mode.endsWith('left') && events.some(hasEnded)) events = await settled(8)
      for (const event of events) await holdAgainstBill(row, mode, event, line => t.diagnostic(line))
    })
  }
})

/** What was written down of the sound heard stood before anybody could leave. */
const hasEnded = ({ status, endpoint }: UsageRecordedData) =>
  status === 'completed' && endpoint !== 'realtime.transcription'

async function holdAgainstBill(
  row: ClientCalls,
  mode: Mode,
  event: UsageRecordedData,
  say: (line: string) => void,
): Promise<void> {
  const bill = await billOf(event)
  const isLeft = mode.endsWith('left') && event.endpoint !== 'realtime.transcription'
  assert.equal(event.streamed, mode.startsWith('streamed'))
  assert.equal(event.status, isLeft ? 'aborted' : 'completed')
  assert.equal(bill.ended, 'completed')
  const marks = Object.values(event.provenance)
  if (row.isTold === false) {
    assert.ok(marks.every(mark => mark === 'estimated'))
    assert.ok(event.cost_nano_usd > 0)
    say(`estimate / bill: ${(event.cost_nano_usd / bill.cost_nano_usd).toFixed(2)}`)
    return
  }
  assert.deepEqual(pricedQuantities(event.quantities), billedQuantities(bill))
  assert.equal(event.quantities.out_reasoning ?? 0, bill.billed.output_thinking)
  assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
  const expected = row.isCounted ? 'estimated' : isLeft ? 'drained' : 'measured'
  assert.ok(
    marks.every(mark => mark === expected),
    JSON.stringify(event.provenance),
  )
  assert.deepEqual(event.doubts, row.doubts)
}

/** Waits for what is settled under a key of its own, and holds it against the provider's bill. */
async function settledTo(
  isMeant: (settlementKey: string, event: UsageRecordedData) => boolean,
  count: number,
): Promise<UsageRecordedData[]> {
  const events = await eventually(
    () => {
      const byId = new Map(
        feed.all
          .filter(event => event.settlement_key !== undefined && isMeant(event.settlement_key, event))
          .map(event => [event.event_id, event] as const),
      )
      return byId.size === count && [...byId.values()]
    },
    { message: `${count} settled` },
  )
  const { records: bills } = await readBills()
  for (const event of events) {
    const bill = bills.find(record => record.response_id === event.response_id)
    assert.ok(bill !== undefined && bill.cost_nano_usd > 0)
    assert.deepEqual(pricedQuantities(event.quantities), billedQuantities(bill))
    assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
  }
  return events
}

const openai = (headers: Record<string, string>) =>
  new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: project.apiKey, defaultHeaders: headers, maxRetries: 0 })

/** Waits until every one of these endpoints has its event among the calls that a client has marked so; they all cost nothing. */
async function areFree(tag: string, endpoints: readonly string[]): Promise<void> {
  const events = await eventually(() => {
    const found = (feed.byTag('case').get(tag) ?? []).filter(event => event.settlement_key === undefined)
    return endpoints.every(endpoint => found.some(event => event.endpoint === endpoint)) && found
  })
  for (const event of events) {
    assert.ok(endpoints.includes(event.endpoint), event.endpoint)
    assert.deepEqual([event.cost_nano_usd, event.quantities], [0, {}])
  }
}

suite('background responses, batches and containers', { concurrency: 4 }, () => {
  for (const mode of modes) {
    test(`a background response settles once, to the provider’s own bill; making it and asking for it costs nothing: openai, ${mode}`, async () => {
      const name = `background, ${mode}`
      const client = openai(setupOf(name).headers)
      const leave = new AbortController()
      const isLeft = mode.endsWith('left')
      // A plain call is left before its maker knows the id of what is made.
      const orders = `output_tokens=40 reasoning=16 cached=8 searches=2 delay_ms=${isLeft ? 10 : 2}`
      const wait = isLeft && mode.startsWith('plain') ? ' answer_delay_ms=2000' : ''
      const asked = { model: 'gpt-5.4-mini', background: true, input: promptOf(orders + wait) }
      const free = ['responses']
      if (mode === 'plain') {
        const made = await client.responses.create(asked)
        const read = await eventually(async () => {
          const response = await client.responses.retrieve(made.id)
          return response.status === 'completed' && response
        })
        assert.match(read.output_text, /^Sim:/)
        await client.responses.delete(made.id)
        free.push('responses.retrieve', 'responses.delete')
      } else if (mode === 'plain, left') {
        const made = client.responses.create(asked, { signal: leave.signal })
        await arrivals.of(name)
        leave.abort()
        await assert.rejects(made, OpenAI.APIUserAbortError)
      } else {
        const events = await client.responses.create({ ...asked, stream: true }, { signal: leave.signal })
        let seen = 0
        for await (const _ of events) if (++seen === 3 && isLeft) leave.abort()
        assert.ok(isLeft ? seen === 3 : seen > 40, `${seen} events`)
      }
      const [event] = await settledTo((_, { claimed }) => claimed.tags?.case === name, 1)
      assert.deepEqual(
        [event?.endpoint, event?.status, event?.doubts],
        ['responses.background', 'completed', undefined],
      )
      await areFree(name, free)
    })
  }

  test('a batch settles to the provider’s own bill, request by request, its files cost nothing: openai', async () => {
    const client = openai({ 'sluice-tag-case': 'file batch' })
    const lines = ['output_tokens=40 cached=9', 'output_tokens=7 reasoning=16 input_tokens=272001'].map(
      (orders, index) => ({
        custom_id: `request-${index}`,
        method: 'POST',
        url: '/v1/chat/completions',
        body: { model: 'gpt-5.4', messages: [{ role: 'user', content: promptOf(orders) }] },
      }),
    )
    const bytes = Buffer.from(lines.map(line => JSON.stringify(line)).join('\n'))
    const file = await client.files.create({ purpose: 'batch', file: await toFile(bytes, 'requests.jsonl') })
    assert.ok(bytes.equals(Buffer.from(await (await client.files.content(file.id)).arrayBuffer())))
    const { id } = await client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    })
    const output = await eventually(async () => (await client.batches.retrieve(id)).output_file_id)
    assert.equal((await (await client.files.content(output)).text()).trim().split('\n').length, lines.length)
    await client.files.delete(output)
    for (const event of await settledTo(key => key.startsWith(`${id}/`), lines.length))
      assert.equal(event.modifiers.batch, true)
    await areFree('file batch', ['files.upload', 'files.content', 'batches.create', 'batches.get', 'files.delete'])
  })

  test('a batch settles to the provider’s own bill, request by request: @anthropic-ai/sdk', async () => {
    const client = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey: project.apiKey, maxRetries: 0 })
    const requests = [
      'output_tokens=40 cached=9 cache_write=7 cache_write_1h=3',
      'output_tokens=7 reasoning=16 input_tokens=200001',
      'output_tokens=7 turns=advisor/claude-opus-4-8:301:61',
    ].map((orders, index) => ({
      custom_id: `request-${index}`,
      params: {
        model: 'claude-sonnet-4-5',
        max_tokens: 100,
        messages: [{ role: 'user' as const, content: promptOf(orders) }],
      },
    }))
    const { id } = await client.messages.batches.create({ requests })
    for (const event of await settledTo(key => key.startsWith(`${id}/`), requests.length))
      assert.equal(event.modifiers.batch, true)
  })

  test('a container that one gateway has charged is not charged again where the next turn goes through another', async t => {
    const sibling = await startSibling({ scope: t, say: () => undefined }, stack, 'sibling')
    await sibling.untilReady()
    const run = (client: OpenAI, container: string | undefined, tag: string) =>
      client.responses.create(
        {
          model: 'gpt-5.4-mini',
          input: promptOf('code_runs=1'),
          tools: [{ type: 'code_interpreter', container: container ?? { type: 'auto', memory_limit: '4g' } }],
        },
        { headers: { 'sluice-tag-case': tag } },
      )
    const eventOf = (tag: string) => eventually(() => feed.byTag('case').get(tag)?.[0])
    const made = await run(openai({}), undefined, 'container, first')
    const [call] = made.output.flatMap(item => (item.type === 'code_interpreter_call' ? [item] : []))
    const other = new OpenAI({ baseURL: `${sibling.plan.url}/openai/v1`, apiKey: project.apiKey, maxRetries: 0 })
    await run(other, call?.container_id, 'container, second')
    const minutes: (number | undefined)[] = []
    for (const tag of ['container, first', 'container, second']) {
      const event = await eventOf(tag)
      assert.equal(event.cost_nano_usd, (await billOf(event)).cost_nano_usd)
      minutes.push(event.quantities.code_container_gb_minutes)
    }
    assert.deepEqual(minutes, [20, undefined])
    await sibling.stop()
  })
})

test('everything that clients spent is in the ledger, and every line of the bill has its event', async () => {
  const known = new Set(feed.all.flatMap(event => [event.provider_request_id, event.response_id]))
  const missed = (await readBills()).records.filter(
    ({ bill_id, response_id }) => !known.has(bill_id) && !known.has(response_id ?? ''),
  )
  assert.deepEqual(
    missed.map(record => record.endpoint),
    [],
  )
  // What two have settled has one event id, and counts once.
  const spent = feed.all.filter(event => event.identity.project_id === project.projectId)
  const once = new Map(spent.map(event => [event.event_id, event] as const))
  const sum = [...once.values()].reduce((total, event) => total + BigInt(event.cost_nano_usd), 0n)
  await eventually(async () => {
    const { total } = await readLedger(stack, project.projectId)
    assert.deepEqual([total.events, total.costNanoUsd], [once.size, sum])
    return true
  })
})

suite('management and collectors', { concurrency: 2 }, () => {
  suite('@meshagent/meshagent', () => {
    // What comes after it on the same bus may be no event.
    after(() => feed.close())

    test('its management calls that concern Sluice are answered as it asks them, each of them', async () => {
      const { client, called } = notingClient(new Meshagent({ baseUrl: stack.url, token: management.token }))
      const asked = await client.createProject('by the client', { unpriced: 'deny' })
      const { id: pid } = asked as { id: string }
      assert.ok(((await client.listProjects()) as { projects: { id: string }[] }).projects.some(({ id }) => id === pid))
      assert.equal((await client.getProject(pid)).id, pid)
      assert.equal(await client.getProjectRole(pid), 'admin')
      assert.equal(await client.getStatus(pid), true)
      await client.updateProjectSettings(pid, { unpriced: 'meter_tokens_only' })

      // People come by e-mail, which this client cannot say.
      const { body: added } = await management.call<{ user_id: string }>('POST', `/accounts/projects/${pid}/users`, {
        email: `client-${pid}@example.com`,
      })
      await client.removeUserFromProject(pid, added.user_id)
      await client.addUserToProject(pid, added.user_id, { isDeveloper: true, canCreateRooms: true })
      const { users } = (await client.getUsersInProject(pid)) as { users: { id: string }[] }
      assert.ok(users.some(({ id }) => id === added.user_id))
      const found = await client.getUsersInProjectPage(pid, { count: 1, offset: 0, filter: `client-${pid}` })
      assert.deepEqual([found.users.map(({ id }) => id), found.total], [[added.user_id], 1])
      await client.updateUserProfile('me', 'Ada', 'Admin')
      assert.equal(((await client.getUserProfile('me')) as { first_name: string }).first_name, 'Ada')

      const key = (await client.createApiKey(pid, 'ci', 'for a test')) as { id: string; value: string }
      assert.match(key.value, /^ma-/)
      assert.equal(((await client.listApiKeys(pid)) as { keys: unknown[] }).keys.length, 1)
      await client.deleteApiKey(pid, key.id)

      const room = await client.createRoom({ projectId: pid, name: 'lobby', metadata: { topic: { id: 7 } } })
      assert.deepEqual((await client.getRoom(pid, room.name)).metadata, { topic: { id: 7 } })
      await client.updateRoom(pid, room.id, 'hall', { annotations: { a: 'b' } })
      assert.deepEqual(
        (await client.listRooms(pid)).map(({ name }) => name),
        ['hall'],
      )
      const { userId, grant } = {
        userId: added.user_id,
        grant: { projectId: pid, roomId: 'hall', userId: added.user_id },
      }
      await client.createRoomGrant({ ...grant, permissions: ApiScope.agentDefault() })
      await client.createRoomGrantByEmail({
        projectId: pid,
        roomId: 'hall',
        email: stack.admin.email,
        permissions: ApiScope.full(),
      })
      await client.updateRoomGrant({ ...grant, permissions: ApiScope.userDefault() })
      assert.deepEqual((await client.getRoomGrant(pid, 'hall', userId)).permissions, ApiScope.userDefault())
      assert.equal((await client.listRoomGrants(pid)).length, 2)
      assert.equal((await client.listRoomGrantsByUser(pid, userId)).length, 1)
      assert.equal((await client.listRoomGrantsByRoom(pid, 'hall')).length, 2)
      assert.equal((await client.listUniqueRoomsWithGrants(pid))[0]?.count, 2)
      assert.equal((await client.listUniqueUsersWithGrants(pid)).length, 2)
      assert.equal((await client.listUniqueUsersWithGrantsPage(pid, { filter: 'client-' })).total, 1)
      assert.equal((await client.connectRoom(pid, 'hall')).roomName, 'hall')
      await client.deleteRoomGrant(pid, 'hall', userId)
      await client.deleteRoom(pid, 'hall')

      const { projectId: spender } = project
      const prompt = [{ role: 'user' as const, content: promptOf('output_tokens=40') }]
      await openai({}).chat.completions.create({ model: 'gpt-5.4-mini', messages: prompt })
      assert.ok(Object.keys(await client.getPricing()).includes('openai'))
      await eventually(async () => (await client.getBalance(spender)).balance < 0)
      assert.ok((await client.getRecentTransactions(spender)).length > 0)
      const day = { start: new Date(Date.now() - 86_400_000), end: new Date(Date.now() + 3_600_000), interval: 'day' }
      await eventually(async () => {
        const usage = await client.getUsage(spender, { ...day, report: 'cost_by_provider', provider: 'openai' })
        return usage.length > 0
      })
      assert.deepEqual(await client.getSubscription(spender), { active: false, subscription: null })
      const urls = { successUrl: 'https://example.com/yes', cancelUrl: 'https://example.com/no' }
      const recharge = { projectId: spender, enabled: true, amount: 10, threshold: 5 }
      for (const buying of [
        () => client.getCheckoutUrl(spender, urls),
        () => client.getCreditsCheckoutUrl(spender, { ...urls, quantity: 1 }),
        () => client.setAutoRecharge(recharge),
      ])
        await assert.rejects(buying, /Status code: 501.*not_offered.*takes no payments/)
      assert.deepEqual([...called].sort(), ours.toSorted())
    })

    test('what it asks for that Sluice has not is answered so, method by method', async t => {
      const client = new Meshagent({ baseUrl: stack.url, token: management.token })
      const others = everyMethod().filter(name => !ours.includes(name))
      assert.equal(ours.length + others.length, everyMethod().length, 'a method that is named and is none')
      for (const name of others) {
        // Of files the client asks outside the management paths.
        const said = name === 'upload' || name === 'download' ? /Status code: 404/ : /Status code: 404.*"not_offered"/
        await assert.rejects(callByName(client, name, project.projectId), said, name)
      }
      t.diagnostic(`${ours.length} methods of the client are ours, ${others.length} are not`)
    })
  })

  test('a project’s collector is sent what each call used, once by its ids, and never a word of it', async t => {
    const received: { path: string | undefined; headers: IncomingHttpHeaders; body: Buffer }[] = []
    const collector = createServer(async (request, answer) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      received.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks) })
      answer.end()
    }).listen(0, '127.0.0.1')
    await once(collector, 'listening')
    t.after(() => collector.close())
    const { projectId, apiKey } = await newProject(stack, management, {})
    const settings = `/accounts/projects/${projectId}/settings/otel`
    const filter = { models: ['openai/gpt-5.4-m*'], statuses: ['completed'] }
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/otlp`
    assert.equal((await management.call('PUT', settings, { endpoint, bearer: 'of-the-collector', filter })).status, 200)
    const tried = await management.call<{ ok: boolean; http_status: number }>('POST', `${settings}/test`, {})
    assert.deepEqual([tried.status, tried.body.ok, tried.body.http_status], [200, true, 200])

    const client = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey, maxRetries: 0 })
    const word = 'unmistakable-word'
    const calls: OpenAI.ChatCompletion[] = []
    const spansOf = (id: string) => received.filter(({ body }) => body.includes(id))
    // A collector is known everywhere within seconds, and what was called before is not told.
    await eventually(async () => {
      const messages = [{ role: 'user' as const, content: `${promptOf('output_tokens=41 cached=7')} ${word}` }]
      await client.chat.completions.create({ model: 'gpt-5.4', messages })
      calls.push(await client.chat.completions.create({ model: 'gpt-5.4-mini', messages }))
      await new Promise(resolve => setTimeout(resolve, 500))
      return calls.some(({ id }) => spansOf(id).length > 0)
    })
    const told = calls.find(({ id }) => spansOf(id).length > 0)
    const [request] = spansOf(told?.id ?? '')
    assert.deepEqual(
      [request?.path, request?.headers.authorization, request?.headers['content-type']],
      ['/otlp/v1/traces', 'Bearer of-the-collector', 'application/x-protobuf'],
    )
    assert.ok(
      !received.some(({ body }) => / gpt-5\.4(?!-)/.test(body.toString('latin1'))),
      'of what the filter leaves out',
    )
    const numbers = numbersOf(request?.body ?? Buffer.alloc(0))
    assert.equal(numbers.get('gen_ai.usage.output_tokens'), 41)
    assert.equal(numbers.get('gen_ai.usage.input_tokens'), told?.usage?.prompt_tokens)
    assert.equal(numbers.get('gen_ai.usage.cache_read.input_tokens'), 7)
    for (const name of ['gen_ai.operation.name', 'gen_ai.request.model', 'gpt-5.4-mini', projectId])
      assert.ok(request?.body.includes(name), name)
    const said = told?.choices[0]?.message.content ?? ''
    assert.ok(said.length > 10)
    for (const { body } of received) for (const text of [word, said, apiKey]) assert.ok(!body.includes(text))
  })
})

/** The integers of attributes in an OTLP request, by name: `key` (field 1) before `value` (2) with `int_value` (3). */
function numbersOf(body: Buffer): Map<string, number> {
  const numbers = new Map<string, number>()
  for (const name of ['input_tokens', 'output_tokens', 'cache_read.input_tokens'].map(name => `gen_ai.usage.${name}`)) {
    const at = body.indexOf(name) + name.length
    if (at < name.length || body[at] !== 0x12 || body[at + 2] !== 0x18) continue
    let value = 0
    for (let place = at + 3, shift = 0; ; place++, shift += 7) {
      const byte = body[place] ?? 0
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    numbers.set(name, value)
  }
  return numbers
}
