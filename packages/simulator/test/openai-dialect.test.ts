import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { chat, message, onlyRecord, startFor } from './simulator.ts'

test('a chat completion reports what the bill charges, to the nano-dollar', async t => {
  const { simulator, openai } = await startFor(t)
  const { data, response } = await openai.chat.completions
    .create(chat('input_tokens=1000 cached=300 output_tokens=20 reasoning=5'))
    .withResponse()
  assert.equal(data.choices[0]?.finish_reason, 'stop')
  assert.equal(data.service_tier, 'default')
  assert.deepEqual(
    [data.usage?.prompt_tokens, data.usage?.completion_tokens, data.usage?.total_tokens],
    [1000, 25, 1025],
  )
  assert.equal(data.usage?.prompt_tokens_details?.cached_tokens, 300)
  assert.equal(data.usage?.completion_tokens_details?.reasoning_tokens, 5)
  const record = onlyRecord(simulator)
  assert.equal(record.bill_id, response.headers.get('x-request-id'))
  assert.equal(record.response_id, data.id)
  assert.equal(record.ended, 'completed')
  // $0.75, $0.075 and $4.50 per million are 750, 75 and 4,500 nano-dollars a token.
  assert.equal(record.cost_nano_usd, 700 * 750 + 300 * 75 + 25 * 4_500)
})

test('a chat stream carries usage only when asked for, and bills the same either way', async t => {
  const { simulator, openai } = await startFor(t)
  const read = async (members: object) => {
    const stream = await openai.chat.completions.create({ ...chat('output_tokens=12'), stream: true, ...members })
    let text = ''
    const usages = []
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      if (chunk.usage) usages.push([chunk.choices.length, chunk.usage.completion_tokens])
    }
    return { text, usages }
  }
  const asked = await read({ stream_options: { include_usage: true } })
  const unasked = await read({})
  assert.equal(Buffer.byteLength(asked.text), 12 * 4)
  assert.equal(asked.text, unasked.text)
  assert.deepEqual(asked.usages, [[0, 12]])
  assert.deepEqual(unasked.usages, [])
  const [first, second] = simulator.bill.since()
  assert.deepEqual(first?.billed, second?.billed)
  assert.equal(first?.streamed, true)
})

test('every choice of a chat completion is billed', async t => {
  const { simulator, openai } = await startFor(t)
  const completion = await openai.chat.completions.create(chat('output_tokens=10 reasoning=2', { n: 3 }))
  assert.equal(completion.choices.length, 3)
  assert.equal(completion.usage?.completion_tokens, 36)
  const stream = await openai.chat.completions.create({
    ...chat('output_tokens=10 reasoning=2', { n: 3 }),
    stream: true,
    stream_options: { include_usage: true },
  })
  const finished = new Set<number>()
  for await (const chunk of stream) {
    for (const choice of chunk.choices) if (choice.finish_reason === 'stop') finished.add(choice.index)
  }
  assert.deepEqual([...finished], [0, 1, 2])
  for (const record of simulator.bill.since()) {
    assert.equal(record.billed.output, 36)
    assert.equal(record.billed.output_thinking, 6)
    assert.equal(record.generated_output_tokens, 36)
  }
})

test('the output limit ends an answer with "length"', async t => {
  const { openai } = await startFor(t)
  const completion = await openai.chat.completions.create(
    chat('output_tokens=50 reasoning=4', { max_completion_tokens: 10 }),
  )
  assert.equal(completion.choices[0]?.finish_reason, 'length')
  assert.equal(completion.usage?.completion_tokens, 10)
  assert.equal(completion.choices[0]?.message.content?.length, 6 * 4)
})

test('a chat tool call is streamed in pieces and answered after its result', async t => {
  const { simulator, openai } = await startFor(t)
  const tools = [{ type: 'function' as const, function: { name: 'get_weather', parameters: { type: 'object' } } }]
  const request = chat('tool=get_weather tool_args={"city":"Paris"}', { tools })
  const stream = await openai.chat.completions.create({ ...request, stream: true })
  let args = ''
  let id = ''
  let finish: string | null | undefined
  for await (const chunk of stream) {
    const call = chunk.choices[0]?.delta.tool_calls?.[0]
    args += call?.function?.arguments ?? ''
    id ||= call?.id ?? ''
    finish = chunk.choices[0]?.finish_reason ?? finish
  }
  assert.deepEqual(JSON.parse(args), { city: 'Paris' })
  assert.equal(finish, 'tool_calls')
  assert.equal(onlyRecord(simulator).billed.output, 4)
  const second = await openai.chat.completions.create({
    ...request,
    messages: [
      ...request.messages,
      { role: 'assistant', tool_calls: [{ id, type: 'function', function: { name: 'get_weather', arguments: args } }] },
      { role: 'tool', tool_call_id: id, content: 'sunny' },
    ],
  })
  assert.equal(second.choices[0]?.finish_reason, 'stop')
  assert.equal(second.choices[0]?.message.tool_calls, undefined)
})

test('a response reports what the bill charges, plain and streamed', async t => {
  const { simulator, openai } = await startFor(t)
  const input = 'Think. [[sim output_tokens=20 reasoning=8 cached=5 searches=2]]'
  const plain = await openai.responses.create({ model: 'gpt-5.4', input })
  const events: string[] = []
  let text = ''
  let usage: typeof plain.usage
  const stream = await openai.responses.create({ model: 'gpt-5.4', input, stream: true })
  let expected = 0
  for await (const event of stream) {
    assert.equal(event.sequence_number, expected)
    expected += 1
    if (events.at(-1) !== event.type) events.push(event.type)
    if (event.type === 'response.output_text.delta') text += event.delta
    if (event.type === 'response.completed') usage = event.response.usage
  }
  assert.equal(plain.output_text, text)
  assert.deepEqual(usage, plain.usage)
  assert.equal(plain.usage?.output_tokens, 28)
  assert.equal(plain.usage?.output_tokens_details.reasoning_tokens, 8)
  assert.equal(plain.usage?.input_tokens_details.cached_tokens, 5)
  assert.deepEqual(
    plain.output.map(item => item.type),
    ['reasoning', 'web_search_call', 'web_search_call', 'message'],
  )
  assert.equal(events[0], 'response.created')
  assert.deepEqual(events.slice(-5), [
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.completed',
  ])
  const fresh = (plain.usage?.input_tokens ?? 0) - 5
  for (const record of simulator.bill.since()) {
    assert.equal(record.cost_nano_usd, fresh * 2_500 + 5 * 250 + 28 * 15_000 + 2 * 10_000_000)
  }
})

test('a response cut by its limit is incomplete and says so', async t => {
  const { openai } = await startFor(t)
  const input = 'Go on. [[sim output_tokens=100]]'
  const response = await openai.responses.create({ model: 'gpt-5.4-mini', input, max_output_tokens: 16 })
  assert.equal(response.status, 'incomplete')
  assert.equal(response.incomplete_details?.reason, 'max_output_tokens')
  assert.equal(response.usage?.output_tokens, 16)
})

test('a function call of the Responses API is streamed in pieces', async t => {
  const { openai } = await startFor(t)
  const stream = await openai.responses.create({
    model: 'gpt-5.4-mini',
    input: 'Call it. [[sim tool=lookup tool_tokens=9]]',
    tools: [{ type: 'function', name: 'lookup', parameters: {}, strict: false }],
    stream: true,
  })
  let pieces = ''
  let whole = ''
  for await (const event of stream) {
    if (event.type === 'response.function_call_arguments.delta') pieces += event.delta
    if (event.type === 'response.function_call_arguments.done') whole = event.arguments
  }
  assert.equal(pieces, whole)
  assert.equal(whole.length, 9 * 4)
  assert.equal(typeof JSON.parse(whole).text, 'string')
})

test('embeddings are counted, whatever the shape of the input', async t => {
  const { simulator, openai } = await startFor(t)
  const model = 'text-embedding-3-small'
  const texts = await openai.embeddings.create({ model, input: ['12345678', 'abc'] })
  const tokens = await openai.embeddings.create({ model, input: [1, 2, 3, 4, 5], encoding_format: 'float' })
  assert.equal(texts.data.length, 2)
  assert.equal(texts.data[0]?.embedding.length, 1536)
  assert.equal(texts.usage.prompt_tokens, 3)
  assert.equal(tokens.usage.prompt_tokens, 5)
  assert.deepEqual(
    simulator.bill.since().map(record => record.cost_nano_usd),
    [60, 100],
  )
})

test('the tier that served is named and priced, and a long prompt costs its own rates', async t => {
  const { simulator, openai } = await startFor(t)
  const asked = await openai.chat.completions.create(
    chat('input_tokens=100 output_tokens=10', { service_tier: 'flex', model: 'gpt-5.4' }),
  )
  const other = await openai.chat.completions.create(
    chat('input_tokens=100 output_tokens=10 tier=default', { service_tier: 'priority', model: 'gpt-5.4' }),
  )
  await openai.chat.completions.create(chat('input_tokens=272000 output_tokens=10', { model: 'gpt-5.4' }))
  assert.equal(asked.service_tier, 'flex')
  assert.equal(other.service_tier, 'default')
  assert.deepEqual(
    simulator.bill.since().map(record => record.cost_nano_usd),
    [100 * 1_250 + 10 * 7_500, 100 * 2_500 + 10 * 15_000, 272_000 * 5_000 + 10 * 22_500],
  )
})

test('models are listed and found, and say that they are simulated', async t => {
  const { openai } = await startFor(t)
  const ids: string[] = []
  for await (const model of openai.models.list()) {
    assert.equal(model.owned_by, 'simulator')
    ids.push(model.id)
  }
  assert.ok(ids.includes('gpt-5.4-mini') && !ids.some(id => id.startsWith('claude')))
  assert.equal((await openai.models.retrieve('gpt-4o')).id, 'gpt-4o')
})

test('a scripted task calls one tool after the other and ends with its last words', async t => {
  const { openai, anthropic } = await startFor(t)
  const steps = JSON.stringify(
    JSON.stringify([{ tool: 'look', args: { at: 'a b' } }, { tool: 'act' }, { text: 'Done it.' }]),
  )
  const input: OpenAI.Responses.ResponseInputItem[] = [{ role: 'user', content: `Go. [[sim steps=${steps}]]` }]
  const called: string[] = []
  let said = ''
  while (said === '') {
    const { output, output_text } = await openai.responses.create({ model: 'gpt-5.4', input })
    said = output_text
    for (const item of output) {
      if (item.type !== 'function_call') continue
      called.push(`${item.name} ${item.arguments}`)
      input.push(item, { type: 'function_call_output', call_id: item.call_id, output: 'ok' })
    }
  }
  assert.deepEqual([called[0], called.length, said], ['look {"at":"a b"}', 2, 'Done it.'])
  const refused = message('x', { messages: [{ role: 'user', content: '[[sim steps={}]]' }] })
  await assert.rejects(anthropic.messages.create(refused), /as a JSON list of/)
})
