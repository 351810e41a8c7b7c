import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Quantities, UsageRecordedData } from '@sluice/contracts'
import type { BillRecord } from '@sluice/simulator'
import { eventually } from '@sluice/test-env'
import type OpenAI from 'openai'
import { toFile } from 'openai'
import { beforeTheEnd } from '../before-the-end.ts'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { openSocket } from '../sockets/socket-client.ts'

type ResponseCall = Omit<OpenAI.Responses.ResponseCreateParamsNonStreaming, 'input'>

interface HostedToolCall {
  name: string
  orders: string
  call: ResponseCall
  /** Beside the text of the reply. */
  used: Quantities
  /** Nano-USD of these by the providers' pages. */
  nanoUsd: number
}

const code = (memory_limit?: '4g' | '64g'): OpenAI.Responses.Tool => ({
  type: 'code_interpreter',
  container: { type: 'auto', ...(memory_limit && { memory_limit }) },
})
const draw = (model?: string): OpenAI.Responses.Tool => ({ type: 'image_generation', ...(model && { model }) })
/** A picture is 23 tokens of text in and 272 of image out: at $5 and $30 a million, and at $5 and $32. */
const picture = { newest: 23 * 5_000 + 272 * 30_000, older: 23 * 5_000 + 272 * 32_000 }

const model = 'gpt-5.4-mini'
const calls: readonly HostedToolCall[] = [
  {
    name: 'two searches, and pages opened after them',
    orders: 'searches=2 pages=3',
    call: { model, tools: [{ type: 'web_search' }] },
    used: { web_search_calls: 2 },
    nanoUsd: 20_000_000,
  },
  {
    name: 'searches with the preview of the tool, by a model that reasons',
    orders: 'searches=2',
    call: { model, tools: [{ type: 'web_search_preview' }] },
    used: { web_search_calls: 2 },
    nanoUsd: 20_000_000,
  },
  {
    name: 'searches with the preview of the tool, by a model that does not',
    orders: 'searches=2',
    call: { model: 'gpt-4.1', tools: [{ type: 'web_search_preview_2025_03_11' }] },
    used: { web_search_calls: 2 },
    nanoUsd: 50_000_000,
  },
  ...[['gpt-4.1-mini', 26_400_000] as const, ['gpt-4o-mini', 22_400_000] as const].map(
    ([name, nanoUsd]): HostedToolCall => ({
      name: `searches of ${name}, each with a block of 8,000 tokens`,
      orders: 'searches=2',
      call: { model: name, tools: [{ type: 'web_search' }] },
      used: { web_search_calls: 2 },
      nanoUsd,
    }),
  ),
  {
    name: 'searches in files',
    orders: 'file_searches=3',
    call: { model, tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] },
    used: { file_search_calls: 3 },
    nanoUsd: 7_500_000,
  },
  {
    name: 'two runs in one container',
    orders: 'code_runs=2',
    call: { model, tools: [code()] },
    used: { code_container_sessions: 1, code_container_gb_minutes: 5 },
    nanoUsd: 7_500_000,
  },
  {
    name: 'a run in a container of 64 GB',
    orders: 'code_runs=1',
    call: { model, tools: [code('64g')] },
    used: { code_container_sessions: 1, code_container_gb_minutes: 320 },
    nanoUsd: 480_000_000,
  },
  {
    name: 'pictures by the model that the provider chooses',
    orders: 'pictures=2',
    call: { model, tools: [draw()] },
    used: { in_text: 46, out_image: 544 },
    nanoUsd: 2 * picture.newest,
  },
  {
    name: 'a picture by a model of the request’s choice, in the priority tier of the text',
    orders: 'pictures=1',
    call: { model, tools: [draw('gpt-image-1.5')], service_tier: 'priority' },
    used: { in_text: 23, out_image: 272 },
    nanoUsd: picture.older,
  },
  {
    name: 'everything at once, in the flex tier of the text',
    orders: 'searches=1 pages=1 file_searches=2 code_runs=3 pictures=1 reasoning=16 cached=9',
    call: {
      model,
      tools: [{ type: 'web_search' }, { type: 'file_search', vector_store_ids: ['vs_1'] }, code('4g'), draw()],
      service_tier: 'flex',
    },
    used: {
      web_search_calls: 1,
      file_search_calls: 2,
      code_container_sessions: 1,
      code_container_gb_minutes: 20,
      in_text: 23,
      out_image: 272,
    },
    nanoUsd: 10_000_000 + 5_000_000 + 30_000_000 + picture.newest,
  },
]

/** Tools that run at the provider, through the official client: each is settled to the provider's own bill. */
export function hostedToolsSettle(gateway: GatewayStack): void {
  suite('hosted tools', { concurrency: 4 }, () => {
    // Files and containers are looked for at the provider by the project's own credential.
    const project = gateway.newProject({ ownCredential: true })

    for (const { name, orders, call, used, nanoUsd } of calls)
      for (const stream of [false, true])
        test(`${name}${stream ? ', streamed' : ''}: settled to the bill, to the token and the nano-dollar`, async () => {
          const { event, bill } = await respond(await project, { ...call, input: `[[sim ${orders}]]` }, stream)
          assert.equal(event.cost_nano_usd, bill.cost_nano_usd, JSON.stringify(event.line_items))
          const text = { in_text: 0, in_cache_read: 0, out_text: 0, ...pickText(bill.lines) }
          const wanted = { ...used, ...addUp(text, used) }
          const { out_reasoning: _, ...priced } = event.quantities
          assert.deepEqual(priced, Object.fromEntries(Object.entries(wanted).filter(([, count]) => count > 0)))
          assert.equal(bill.cost_nano_usd - costOfText(bill), nanoUsd)
          assert.ok(event.priced)
          // A reply tells everything but how long a container lives.
          for (const [quantity, mark] of Object.entries(event.provenance))
            assert.equal(mark, quantity === 'code_container_gb_minutes' ? 'estimated' : 'measured', quantity)
        })

    test('turns of a socket that use tools: each is settled to the bill, to the token and the nano-dollar', async () => {
      const owner = await gateway.newProject({ ownCredential: true })
      const client = await openSocket(gateway, '/v1/responses', owner.apiKey)
      for (const [lane, { orders, call }] of calls.entries())
        client.send({ type: 'response.create', stream_id: `${lane}`, ...call, input: `[[sim ${orders}]]` })
      const ends = await client.until('response.completed', calls.length)
      client.socket.close()
      const events = await eventually(() => {
        const found = gateway.eventsOf(owner.projectId)
        return found.length >= calls.length && found
      })
      assert.equal(events.length, calls.length)
      const bills = await gateway.billsOf(owner)
      for (const { stream_id, response } of ends) {
        const { name, used, nanoUsd } = calls[Number(stream_id)] ?? assert.fail(stream_id)
        const event = events.find(({ response_id }) => response_id === response.id)
        const bill = bills.find(({ response_id }) => response_id === response.id)
        assert.ok(event?.priced && bill, name)
        assert.equal(event.cost_nano_usd, bill.cost_nano_usd, `${name}: ${JSON.stringify(event.line_items)}`)
        assert.equal(bill.cost_nano_usd - costOfText(bill), nanoUsd, name)
        for (const quantity of Object.keys(used) as (keyof Quantities)[])
          assert.ok((event.quantities[quantity] ?? 0) >= (used[quantity] ?? 0), `${name}: ${quantity}`)
      }
    })

    test('a response with tools that is left in the middle, under drain: settled to the bill all the same', async () => {
      const owner = await gateway.newProject({
        ownCredential: true,
        settings: { on_client_abort: { openai: 'drain', anthropic: 'drain' } },
      })
      const { orders, call } = calls.at(-1) ?? assert.fail()
      const leaveAtOnce = async (everyMs: number) => {
        const input = `[[sim ${orders} output_tokens=60 delay_ms=${everyMs}]]`
        const leave = new AbortController()
        const { data, response } = await gateway
          .openai(owner.apiKey)
          .responses.create({ ...call, input, stream: true }, { signal: leave.signal })
          .withResponse()
        for await (const _ of data) leave.abort()
        return settled(response)
      }
      const { event, bill } = await beforeTheEnd(leaveAtOnce, each => [each.event], 5)
      assert.deepEqual([event.status, event.priced, bill.ended], ['aborted', true, 'completed'])
      assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
    })

    test('a container that later turns use again, by its response and by its name, is charged once', async () => {
      const owner = await project
      const first = await respond(owner, { model, tools: [code('4g')], input: '[[sim code_runs=1]]' })
      const [run] = first.reply.output.flatMap(item => (item.type === 'code_interpreter_call' ? [item] : []))
      assert.ok(run?.container_id)
      const again = [
        await respond(owner, {
          model,
          tools: [code('4g')],
          input: '[[sim code_runs=2]]',
          previous_response_id: first.reply.id,
        }),
        await respond(owner, {
          model,
          tools: [{ type: 'code_interpreter', container: run.container_id }],
          input: '[[sim code_runs=1]]',
        }),
      ]
      assert.equal(first.event.quantities.code_container_gb_minutes, 20)
      for (const { event } of again)
        assert.deepEqual(
          [event.quantities.code_container_sessions, event.quantities.code_container_gb_minutes],
          [undefined, undefined],
        )
      for (const { event, bill } of [first, ...again]) assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
    })

    test('a chat model that searches for every answer pays for its search, which no reply tells', async () => {
      const owner = await project
      for (const stream of [false, true]) {
        const { response } = await gateway
          .openai(owner.apiKey)
          .chat.completions.create({
            model: 'gpt-4o-search-preview',
            messages: [{ role: 'user', content: '[[sim output_tokens=20]]' }],
            stream,
          })
          .withResponse()
        const { event, bill } = await settled(response)
        assert.equal(event.cost_nano_usd, bill.cost_nano_usd)
        assert.deepEqual([event.quantities.web_search_calls, event.provenance.web_search_calls], [1, 'estimated'])
      }
    })
  })

  async function respond(
    project: TestProject,
    body: OpenAI.Responses.ResponseCreateParamsNonStreaming,
    stream = false,
  ): Promise<{ reply: OpenAI.Responses.Response } & Awaited<ReturnType<typeof settled>>> {
    const { responses } = gateway.openai(project.apiKey)
    if (!stream) {
      const { data, response } = await responses.create(body).withResponse()
      return { reply: data, ...(await settled(response)) }
    }
    const { data, response } = await responses.create({ ...body, stream: true }).withResponse()
    let reply: OpenAI.Responses.Response | undefined
    for await (const event of data) if (event.type === 'response.completed') reply = event.response
    assert.ok(reply)
    return { reply, ...(await settled(response)) }
  }

  async function settled(response: Response) {
    const event: UsageRecordedData = await gateway.eventOf(response.headers.get('sluice-call-id'))
    return { event, bill: await gateway.closedBillOf(response.headers.get('x-request-id')) }
  }
}

/** The same tools in the requests of a batch: tokens at half the rates, tools at the whole ones. */
export function hostedToolsSettleInBatches(gateway: GatewayStack): void {
  test('requests of a batch that use tools: each is settled to the bill, to the token and the nano-dollar', async () => {
    const project = await gateway.newProject({ ownCredential: true, settings: { path_classes: { batches: true } } })
    const client = gateway.openai(project.apiKey)
    const lines = calls.map(({ name, orders, call: { service_tier: _, ...body } }) => ({
      custom_id: name,
      method: 'POST',
      url: '/v1/responses',
      body: { ...body, input: `[[sim ${orders}]]` },
    }))
    const file = await toFile(Buffer.from(lines.map(line => JSON.stringify(line)).join('\n')), 'requests.jsonl')
    const { id: input_file_id } = await client.files.create({ file, purpose: 'batch' })
    await client.batches.create({ input_file_id, endpoint: '/v1/responses', completion_window: '24h' })
    const events = await eventually(() => {
      const found = gateway.eventsOf(project.projectId).filter(({ endpoint }) => endpoint === 'batches.result')
      return found.length >= calls.length && found
    })
    const bills = await gateway.billsOf(project)
    for (const { name, used } of calls) {
      const event = events.find(({ settlement_key }) => settlement_key?.endsWith(`/${name}`))
      const bill = bills.find(({ response_id }) => response_id === event?.response_id)
      assert.ok(event?.priced && bill, name)
      assert.equal(event.cost_nano_usd, bill.cost_nano_usd, `${name}: ${JSON.stringify(event.line_items)}`)
      assert.equal(event.modifiers.batch, true)
      for (const quantity of Object.keys(used) as (keyof Quantities)[])
        assert.ok((event.quantities[quantity] ?? 0) >= (used[quantity] ?? 0), `${name}: ${quantity}`)
    }
  })
}

/** What a bill asks for the words alone. */
function costOfText({ lines }: BillRecord): number {
  return lines
    .filter(line => line.model === undefined && line.item in textNames)
    .reduce((sum, line) => sum + line.nano_usd, 0)
}

const textNames: Readonly<Record<string, 'in_text' | 'in_cache_read' | 'out_text'>> = {
  input_fresh: 'in_text',
  input_from_cache: 'in_cache_read',
  output: 'out_text',
}

function pickText(lines: readonly { item: string; units: number; model?: string }[]): Quantities {
  const quantities: Quantities = {}
  for (const { item, units, model: other } of lines) {
    const name = textNames[item]
    if (name !== undefined && other === undefined) quantities[name] = units
  }
  return quantities
}

function addUp(one: Quantities, other: Quantities): Quantities {
  const sum: Quantities = { ...one }
  for (const name of ['in_text', 'in_cache_read', 'out_text'] as const)
    sum[name] = (one[name] ?? 0) + (other[name] ?? 0)
  return sum
}
