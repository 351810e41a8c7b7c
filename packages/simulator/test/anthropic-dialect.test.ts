import assert from 'node:assert/strict'
import { test } from 'node:test'
import { message, onlyRecord, startFor } from './simulator.ts'

test('a message reports what the bill charges, to the nano-dollar', async t => {
  const { simulator, anthropic } = await startFor(t)
  const { data, response } = await anthropic.messages
    .create(
      message('input_tokens=1000 cached=200 cache_write=100 cache_write_1h=50 output_tokens=20 reasoning=6 searches=1'),
    )
    .withResponse()
  assert.deepEqual(
    data.content.map(block => block.type),
    ['thinking', 'server_tool_use', 'web_search_tool_result', 'text'],
  )
  assert.equal(data.usage.input_tokens, 650)
  assert.equal(data.usage.cache_read_input_tokens, 200)
  assert.equal(data.usage.cache_creation_input_tokens, 150)
  assert.deepEqual(data.usage.cache_creation, { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 50 })
  assert.equal(data.usage.output_tokens, 26)
  assert.equal(data.usage.output_tokens_details?.thinking_tokens, 6)
  assert.equal(data.usage.server_tool_use?.web_search_requests, 1)
  assert.equal(data.usage.service_tier, 'standard')
  const record = onlyRecord(simulator)
  assert.equal(record.bill_id, response.headers.get('request-id'))
  assert.equal(record.cost_nano_usd, 650 * 3_000 + 200 * 300 + 100 * 3_750 + 50 * 6_000 + 26 * 15_000 + 10_000_000)
})

test('a streamed message gives its input first and its output as a running total', async t => {
  const { simulator, anthropic } = await startFor(t)
  const plain = await anthropic.messages.create(message('output_tokens=20 reasoning=6'))
  const stream = anthropic.messages.stream(message('output_tokens=20 reasoning=6'))
  const outputs: number[] = []
  let thinking = ''
  for await (const event of stream) {
    if (event.type === 'message_start') outputs.push(event.message.usage.output_tokens)
    if (event.type === 'message_delta') outputs.push(event.usage.output_tokens)
    if (event.type === 'content_block_delta' && event.delta.type === 'thinking_delta') thinking += event.delta.thinking
  }
  const final = await stream.finalMessage()
  assert.deepEqual(outputs, [1, 26])
  assert.equal(thinking.length, 6 * 4)
  assert.deepEqual(final.content, plain.content)
  assert.equal(final.usage.output_tokens, plain.usage.output_tokens)
  assert.equal(final.stop_reason, 'end_turn')
  const [first, second] = simulator.bill.since()
  assert.deepEqual(first?.billed, second?.billed)
})

test('tool use is streamed as JSON in pieces and ends with tool_use', async t => {
  const { anthropic } = await startFor(t)
  const final = await anthropic.messages
    .stream(
      message('tool=get_weather tool_args={"city":"Paris"}', {
        tools: [{ name: 'get_weather', input_schema: { type: 'object' } }],
      }),
    )
    .finalMessage()
  const [block] = final.content
  assert.equal(block?.type, 'tool_use')
  assert.deepEqual(block?.type === 'tool_use' && block.input, { city: 'Paris' })
  assert.equal(final.stop_reason, 'tool_use')
})

test('cache_control marks become cache writes, and reads where the directive says so', async t => {
  const { anthropic } = await startFor(t)
  const request = (directives: string) => ({
    model: 'claude-sonnet-4-6',
    max_tokens: 50,
    system: [
      {
        type: 'text' as const,
        text: 'a'.repeat(400),
        cache_control: { type: 'ephemeral' as const, ttl: '1h' as const },
      },
      { type: 'text' as const, text: 'b'.repeat(200), cache_control: { type: 'ephemeral' as const } },
    ],
    messages: [{ role: 'user' as const, content: `Hello.${directives}` }],
  })
  const first = await anthropic.messages.create(request(''))
  assert.deepEqual(first.usage.cache_creation, { ephemeral_1h_input_tokens: 100, ephemeral_5m_input_tokens: 50 })
  const again = await anthropic.messages.create(request(' [[sim cached=120]]'))
  assert.equal(again.usage.cache_read_input_tokens, 120)
  assert.deepEqual(again.usage.cache_creation, { ephemeral_1h_input_tokens: 0, ephemeral_5m_input_tokens: 30 })
})

test('count_tokens is free and gives what the call is billed for', async t => {
  const { simulator, anthropic } = await startFor(t)
  const { max_tokens: _, ...asked } = message('output_tokens=4', { system: 'Be brief.' })
  const counted = await anthropic.messages.countTokens(asked)
  assert.equal(onlyRecord(simulator).cost_nano_usd, 0)
  const sent = await anthropic.messages.create({ ...asked, max_tokens: 10 })
  assert.equal(sent.usage.input_tokens, counted.input_tokens)
})

test('US-only inference costs a tenth more on the models that sell it', async t => {
  const { simulator, anthropic } = await startFor(t)
  const answered = await anthropic.messages.create(
    message('input_tokens=101 output_tokens=10', { inference_geo: 'us' }),
  )
  assert.equal(answered.usage.inference_geo, 'us')
  assert.equal(onlyRecord(simulator).cost_nano_usd, 101 * 3_300 + 10 * 16_500)
})

test('models are listed by the version header, and the probe of the root is answered', async t => {
  const { simulator, anthropic } = await startFor(t)
  const ids: string[] = []
  for await (const model of anthropic.models.list()) {
    assert.match(model.display_name, /simulator/)
    ids.push(model.id)
  }
  assert.ok(ids.includes('claude-sonnet-4-6') && ids.includes('claude-haiku-4-5'))
  assert.equal((await fetch(simulator.url, { method: 'HEAD' })).status, 200)
  const prefixed = anthropic.withOptions({ baseURL: `${simulator.url}/anthropic` })
  assert.equal((await prefixed.models.retrieve('claude-opus-4-8')).id, 'claude-opus-4-8')
})

test('turns of a message are listed and billed each as its own model, at its own length', async t => {
  const { simulator, anthropic } = await startFor(t)
  const orders = 'input_tokens=1000 output_tokens=20 turns=loop:200:7,compaction:5000:40,advisor/claude-opus-4-8:300:60'
  const { usage } = await anthropic.beta.messages.create(message(orders))
  assert.deepEqual([usage.input_tokens, usage.output_tokens], [1200, 27])
  assert.deepEqual(
    usage.iterations?.map(({ type, input_tokens, output_tokens }) => [type, input_tokens, output_tokens]),
    [
      ['message', 200, 7],
      ['compaction', 5000, 40],
      ['advisor_message', 300, 60],
      ['message', 1000, 20],
    ],
  )
  const own = 6200 * 3_000 + 67 * 15_000
  assert.equal(onlyRecord(simulator).cost_nano_usd, own + 300 * 5_000 + 60 * 25_000)
  simulator.bill.reset()
  const long = { ...message('input_tokens=150000 output_tokens=1 turns=loop:200001:1'), model: 'claude-sonnet-4-5' }
  await anthropic.messages.create(long)
  assert.equal(onlyRecord(simulator).cost_nano_usd, 150_000 * 3_000 + 15_000 + 200_001 * 6_000 + 22_500)
})

test('fast mode, a model that declines, and a credit for the retry are billed as their pages say', async t => {
  const { simulator, anthropic } = await startFor(t)
  const cost = async (orders: string, more: object) => {
    simulator.bill.reset()
    const reply = await anthropic.beta.messages.create({ ...message(orders), model: 'claude-opus-4-8', ...more })
    return { reply, cost: onlyRecord(simulator).cost_nano_usd }
  }
  const asked = 'input_tokens=1000 cached=200 cache_write=100 output_tokens=20'
  const plain = 700 * 5_000 + 200 * 500 + 100 * 6_250 + 20 * 25_000
  const fast = await cost(asked, { speed: 'fast' })
  assert.deepEqual([fast.cost, fast.reply.usage.speed], [2 * plain, 'fast'])

  const fallbacks = [{ model: 'claude-haiku-4-5' }]
  const declined = await cost('input_tokens=1000 output_tokens=20 declined=30', { fallbacks })
  assert.equal(declined.reply.model, 'claude-haiku-4-5-20251001')
  assert.equal(declined.cost, 1000 * 1_000 + 20 * 5_000 + 1000 * 5_000 + 30 * 25_000)

  const refused = await cost('input_tokens=1000 refuse=1', {})
  assert.deepEqual([refused.cost, refused.reply.stop_reason, refused.reply.usage.input_tokens], [0, 'refusal', 1000])
  const token = refused.reply.stop_details?.fallback_credit_token
  const retried = await cost(asked, { fallback_credit_token: token })
  assert.equal(retried.cost, 700 * 5_000 + 300 * 500 + 20 * 25_000)
  assert.equal(retried.reply.usage.cache_creation_input_tokens, 0)
})
