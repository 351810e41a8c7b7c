import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually } from '@sluice/test-env'
import OpenAI from 'openai'
import { readBill, readLedger } from './faults/accounts-of-a-run.ts'
import { storyStack } from './story-stack.ts'

// Its ES module build lacks its own type marker, so Node reads only the CommonJS one.
const { ApiScope, LLMGrant, ParticipantToken } = createRequire(import.meta.url)(
  '@meshagent/meshagent',
) as typeof import('@meshagent/meshagent')

const { stack, admin } = await storyStack()

interface UsageEvent {
  event_id: string
  call_id: string
  endpoint: string
  status: string
  model?: string
  requested_model: string
  provider_request_id: string
  room: string | null
  participant: string | null
  quantities: Record<string, number>
  cost_nano_usd: string
}

const prompt = [{ role: 'user' as const, content: 'Tell me about sluices. [[sim output_tokens=40]]' }]

async function readText(
  stream: AsyncIterable<OpenAI.ChatCompletionChunk>,
): Promise<{ text: string; usage: OpenAI.CompletionUsage | undefined }> {
  let text = ''
  let usage: OpenAI.CompletionUsage | undefined
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? ''
    usage = chunk.usage ?? usage
  }
  return { text, usage }
}

test('what the official SDKs spend is the same in event, ledger, budget, ClickHouse and on the provider’s bill, to the nano-dollar', async () => {
  const { status, body: budget } = await admin.call<{ id: string }>('POST', `${admin.project}/budgets`, {
    name: 'whole project',
    unit: 'usd',
    limit: '100',
    window: 'total',
    mode: 'soft',
  })
  assert.equal(status, 201, JSON.stringify(budget))

  const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: stack.apiKey })
  const anthropic = new Anthropic({ baseURL: stack.anthropicBaseUrl, apiKey: stack.apiKey })

  const plain = await openai.chat.completions.create({ model: 'gpt-5.4', messages: prompt })
  assert.match(plain.choices[0]?.message.content ?? '', /^Sim:/)
  const asked = await readText(
    await openai.chat.completions.create({
      model: 'gpt-5.4',
      messages: prompt,
      stream: true,
      stream_options: { include_usage: true },
    }),
  )
  assert.equal(asked.usage?.completion_tokens, 40)
  const unasked = await readText(
    await openai.chat.completions.create({ model: 'gpt-4o-mini', messages: prompt, stream: true }),
  )
  assert.equal(unasked.text, plain.choices[0]?.message.content)
  assert.equal(unasked.usage, undefined, 'the usage chunk is only for those who ask')
  const response = await openai.responses.create({
    model: 'gpt-5.4-mini',
    input: 'Hello [[sim reasoning=32 cached=2]]',
  })
  assert.match(response.output_text, /^Sim:/)
  let completed = false
  for await (const event of await openai.responses.create({ model: 'gpt-5.4', input: 'Hello', stream: true }))
    completed ||= event.type === 'response.completed'
  assert.ok(completed)
  assert.ok((await openai.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] })).data.length === 2)
  const message = await anthropic.messages.create({ model: 'claude-sonnet-4-6', max_tokens: 100, messages: prompt })
  assert.equal(message.stop_reason, 'end_turn')
  const final = await anthropic.messages
    .stream({
      model: 'claude-haiku-4-5',
      max_tokens: 100,
      messages: [
        {
          role: 'user',
          content: [{ type: 'text', text: 'long context '.repeat(400), cache_control: { type: 'ephemeral' } }],
        },
      ],
    })
    .finalMessage()
  assert.ok((final.usage.cache_creation_input_tokens ?? 0) > 0)
  assert.ok((await anthropic.messages.countTokens({ model: 'claude-sonnet-4-6', messages: prompt })).input_tokens > 0)

  const bill = await eventually(async () => {
    const lines = await readBill(stack)
    assert.ok(lines.every(line => line.ended !== 'running'))
    return lines
  })
  const billed = bill.reduce((sum, line) => sum + BigInt(line.costNanoUsd), 0n)
  assert.equal(bill.length, 9)
  assert.ok(billed > 0n)

  await eventually(async () => {
    const ledger = await readLedger(stack)
    assert.equal(ledger.events.length, 9)
    assert.equal(
      ledger.events.reduce((sum, event) => sum + BigInt(event.costNanoUsd), 0n),
      billed,
      'events',
    )
    assert.equal(ledger.total.costNanoUsd, billed, 'ledger')
    for (const line of bill) {
      const event = ledger.events.find(candidate => candidate.providerRequestId === line.id)
      assert.equal(event?.costNanoUsd, line.costNanoUsd, line.id)
    }
    return true
  })
  await eventually(async () => {
    const { body: seen } = await admin.call<{ events: UsageEvent[] }>(
      'GET',
      `${admin.project}/usage/events?page_size=100`,
    )
    assert.equal(
      seen.events.reduce((sum, event) => sum + BigInt(event.cost_nano_usd), 0n),
      billed,
      'ClickHouse',
    )
    return true
  })
  await eventually(async () => {
    const { body: spent } = await admin.call<{ spent_nano_usd?: number | string; spent: string }>(
      'GET',
      `${admin.project}/budgets/${budget.id}`,
    )
    assert.equal(nanoOf(spent.spent), billed, 'budget')
    const { body: balance } = await admin.call<{ cost_nano_usd: string }>('GET', `${admin.project}/balance`)
    assert.equal(BigInt(balance.cost_nano_usd), billed, 'balance')
    return true
  })

  const { body: report } = await admin.call<{
    usage: { provider: string; model: string; type: string; total: number; cost_nano_usd: string; served_by?: string }[]
  }>('GET', `${admin.project}/usage?report=cost_by_provider`)
  assert.equal(
    report.usage.reduce((sum, row) => sum + BigInt(row.cost_nano_usd), 0n),
    billed,
    'usage report',
  )
  assert.ok(
    report.usage.some(
      row => row.provider === 'openai' && row.model.startsWith('gpt-5.4') && row.type === 'output_tokens',
    ),
  )
  assert.ok(
    report.usage.every(row => row.served_by === 'simulator'),
    'without a provider’s key the report says that it is play money',
  )
})

/** Exact nano-USD of a decimal text. */
function nanoOf(usd: string): bigint {
  const [whole = '0', fraction = ''] = usd.split('.')
  return BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'))
}

test('a participant token made by MeshAgent’s client is accepted, and its room and participant are accounted', async () => {
  const token = new ParticipantToken({ name: 'robin' })
  token.addRoomGrant('planning')
  token.addRoleGrant('agent')
  token.addApiGrant(new ApiScope({ llm: new LLMGrant({ models: ['openai/gpt-5*'] }) }))
  const jwt = await token.toJwt({ apiKey: stack.apiKey })
  const client = new OpenAI({ baseURL: `${stack.url}/rooms/planning/openai/v1`, apiKey: jwt, maxRetries: 0 })
  const { response } = await client.chat.completions.create({ model: 'gpt-5.4', messages: prompt }).withResponse()
  await assert.rejects(
    client.chat.completions.create({ model: 'gpt-4o-mini', messages: prompt }),
    OpenAI.PermissionDeniedError,
  )
  await assert.rejects(
    new OpenAI({
      baseURL: `${stack.url}/rooms/elsewhere/openai/v1`,
      apiKey: jwt,
      maxRetries: 0,
    }).chat.completions.create({ model: 'gpt-5.4', messages: prompt }),
    OpenAI.PermissionDeniedError,
  )
  const callId = response.headers.get('sluice-call-id')
  await eventually(async () => {
    const { body } = await admin.call<{ events: UsageEvent[] }>('GET', `${admin.project}/usage/events?room=planning`)
    const event = body.events.find(candidate => candidate.call_id === callId)
    assert.equal(event?.room, 'planning')
    assert.equal(event?.participant, 'robin')
    return true
  })
})

test('a call can be looked up within a second of its end, and a refused one too', async () => {
  const openai = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: stack.apiKey, maxRetries: 0 })
  const { response } = await openai.chat.completions.create({ model: 'gpt-5.4', messages: prompt }).withResponse()
  const answered = performance.now()
  await eventually(async () => {
    const { status } = await admin.call('GET', `/api/calls/${response.headers.get('sluice-call-id')}`)
    return status === 200
  })
  console.log(`call visible after ${Math.round(performance.now() - answered)} ms`)
  const refused = await openai.chat.completions
    .create({ model: 'no-such-model', messages: prompt })
    .catch((error: unknown) => error)
  assert.ok(refused instanceof OpenAI.BadRequestError)
  await eventually(async () => {
    const { status, body } = await admin.call('GET', `/api/calls/${refused.headers.get('sluice-call-id')}`)
    assert.equal(status, 200)
    assert.match(JSON.stringify(body), /model_not_priced/)
    return true
  })
})

test('a revoked key is refused at once, with every token it has signed', async () => {
  const { body: made } = await admin.call<{ id: string; value: string }>('POST', `${admin.project}/api-keys`, {
    name: 'short-lived',
    description: '',
  })
  const client = new OpenAI({ baseURL: stack.openaiBaseUrl, apiKey: made.value, maxRetries: 0 })
  await eventually(() => client.chat.completions.create({ model: 'gpt-5.4', messages: prompt }))
  const token = new ParticipantToken({ name: 'robin' })
  token.addApiGrant(new ApiScope({ llm: new LLMGrant() }))
  const signed = new OpenAI({
    baseURL: stack.openaiBaseUrl,
    apiKey: await token.toJwt({ apiKey: made.value }),
    maxRetries: 0,
  })
  await signed.chat.completions.create({ model: 'gpt-5.4', messages: prompt })
  assert.equal((await admin.call('DELETE', `${admin.project}/api-keys/${made.id}`)).status, 204)
  const revokedAt = performance.now()
  await eventually(async () => {
    await assert.rejects(
      client.chat.completions.create({ model: 'gpt-5.4', messages: prompt }),
      OpenAI.AuthenticationError,
    )
    return true
  })
  console.log(`revoked key refused after ${Math.round(performance.now() - revokedAt)} ms`)
  await assert.rejects(
    signed.chat.completions.create({ model: 'gpt-5.4', messages: prompt }),
    OpenAI.AuthenticationError,
  )
})
