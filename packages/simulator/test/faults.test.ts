import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { chat, message, onlyRecord, post, startFor } from './simulator.ts'

test('a status on demand raises the right error in both clients and costs nothing', async t => {
  const { simulator, openai, anthropic } = await startFor(t)
  await assert.rejects(openai.chat.completions.create(chat('status=401')), OpenAI.AuthenticationError)
  await assert.rejects(
    openai.responses.create({ model: 'gpt-5.4', input: '[[sim status=500]]' }),
    OpenAI.InternalServerError,
  )
  await assert.rejects(openai.chat.completions.create(chat('status=429 retry_after=7')), (error: unknown) => {
    assert.ok(error instanceof OpenAI.RateLimitError)
    assert.equal(error.headers.get('retry-after'), '7')
    assert.equal(error.code, 'rate_limit_exceeded')
    return true
  })
  await assert.rejects(anthropic.messages.create(message('status=401')), Anthropic.AuthenticationError)
  await assert.rejects(anthropic.messages.create(message('status=429')), Anthropic.RateLimitError)
  await assert.rejects(anthropic.messages.create(message('status=529')), (error: unknown) => {
    assert.ok(error instanceof Anthropic.InternalServerError)
    assert.equal(error.status, 529)
    assert.equal(error.type, 'overloaded_error')
    return true
  })
  for (const record of simulator.bill.since()) {
    assert.equal(record.ended, 'failed')
    assert.equal(record.cost_nano_usd, 0)
  }
  assert.equal(simulator.bill.totals().failed, 6)
})

test('a failure lasts as many times as asked, then the same request is answered', async t => {
  const { openai } = await startFor(t)
  const retrying = openai.withOptions({ maxRetries: 2 })
  const completion = await retrying.chat.completions.create(chat('status=500 times=1 output_tokens=3'))
  assert.equal(completion.usage?.completion_tokens, 3)
})

test('a wrong credential, model, path, body or directive is refused in the dialect', async t => {
  const { simulator, openai, anthropic } = await startFor(t)
  await assert.rejects(
    openai.withOptions({ apiKey: 'sk-invalid-1' }).chat.completions.create(chat('output_tokens=1')),
    OpenAI.AuthenticationError,
  )
  await assert.rejects(openai.chat.completions.create(chat('', { model: 'gpt-none' })), OpenAI.NotFoundError)
  await assert.rejects(anthropic.messages.create(message('', { model: 'gpt-5.4' })), Anthropic.NotFoundError)
  await assert.rejects(openai.chat.completions.create(chat('output_token=5')), /no directive "output_token"/)
  await assert.rejects(openai.chat.completions.create(chat('fault=fire')), /no fault "fire"/)
  assert.equal((await fetch(`${simulator.url}/v1/chat/completions`, { method: 'POST', body: '{}' })).status, 401)
  assert.equal((await post(simulator, '/v1/assistants', {})).status, 404)
  const broken = await fetch(`${simulator.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: 'Bearer k' },
    body: '{"model"',
  })
  assert.equal(broken.status, 400)
  assert.equal(simulator.bill.totals().cost_nano_usd, '0')
})

test('an overload inside a 200 stream, before anything was said, is free', async t => {
  const { simulator, openai, anthropic } = await startFor(t)
  const chunks = await openai.chat.completions.create({ ...chat('fault=overloaded'), stream: true })
  await assert.rejects(Array.fromAsync(chunks), OpenAI.APIError)
  await assert.rejects(anthropic.messages.stream(message('fault=overloaded')).finalMessage(), /Overloaded/)
  for (const record of simulator.bill.since()) {
    assert.equal(record.http_status, 200)
    assert.equal(record.ended, 'failed')
    assert.equal(record.cost_nano_usd, 0)
  }
})

test('an error in the middle of a stream bills the input and what was produced', async t => {
  const { simulator, openai, anthropic } = await startFor(t)
  const chunks = await openai.chat.completions.create({
    ...chat('input_tokens=100 output_tokens=20 fault=error at=5'),
    stream: true,
  })
  let text = ''
  await assert.rejects(async () => {
    for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? ''
  }, OpenAI.APIError)
  assert.equal(text.length, 5 * 4)
  const input = '[[sim output_tokens=20 fault=error at=5 error_code=insufficient_quota]]'
  const events = await Array.fromAsync(await openai.responses.create({ model: 'gpt-5.4', input, stream: true }))
  const last = events.at(-1)
  assert.ok(last?.type === 'response.failed')
  assert.equal(String(last.response.error?.code), 'insufficient_quota')
  assert.equal(last.response.usage?.output_tokens, 5)
  await assert.rejects(
    anthropic.messages.stream(message('output_tokens=20 fault=error at=5')).finalMessage(),
    Anthropic.APIError,
  )
  const records = simulator.bill.since()
  assert.deepEqual(
    records.map(record => [record.ended, record.billed.output, record.generated_output_tokens]),
    [
      ['failed', 5, 5],
      ['failed', 5, 5],
      ['failed', 5, 5],
    ],
  )
  assert.equal(records[0]?.cost_nano_usd, 100 * 750 + 5 * 4_500)
})

test('a silence holds the stream back for as long as asked', async t => {
  const { openai } = await startFor(t)
  const started = performance.now()
  const chunks = await openai.chat.completions.create({
    ...chat('output_tokens=4 fault=silence at=2 silence_ms=120'),
    stream: true,
  })
  // Not from chunk to chunk: one may be seen late.
  for await (const _ of chunks);
  const elapsed = performance.now() - started
  assert.ok(elapsed >= 100, `${elapsed} ms`)
})

test('a dropped socket breaks the body at the byte asked for, streamed or not', async t => {
  const { simulator } = await startFor(t)
  for (const stream of [true, false]) {
    const response = await post(simulator, '/v1/chat/completions', chat('fault=drop at_byte=100', { stream }))
    let received = 0
    await assert.rejects(async () => {
      for await (const piece of response.body ?? []) received += piece.length
    })
    assert.equal(received, 100)
  }
  assert.deepEqual(
    simulator.bill.since().map(record => [record.ended, record.abort_seen_at_ms]),
    [
      ['failed', null],
      ['failed', null],
    ],
  )
})

test('a stream that just stops has no terminal event', async t => {
  const { simulator } = await startFor(t)
  const chats = await (await post(simulator, '/v1/chat/completions', chat('fault=truncate', { stream: true }))).text()
  assert.ok(!chats.includes('[DONE]') && !chats.includes('"finish_reason":"stop"'))
  const early = message('fault=truncate at=2 output_tokens=9', { stream: true })
  const messages = await (await post(simulator, '/v1/messages', early)).text()
  assert.ok(messages.includes('content_block_delta') && !messages.includes('message_stop'))
  assert.equal(simulator.bill.since()[1]?.billed.output, 2)
})

test('usage can be missing or wrong in the reply, and stays right on the bill', async t => {
  const { simulator, openai, anthropic } = await startFor(t)
  const order = 'input_tokens=10 output_tokens=10'
  const missing = await openai.chat.completions.create(chat(`${order} fault=no_usage`))
  const wrong = await openai.chat.completions.create(chat(`${order} fault=wrong_usage`))
  const wrongMessage = await anthropic.messages.create(message(`${order} fault=wrong_usage`))
  assert.equal(missing.usage, undefined)
  assert.equal(wrong.usage?.completion_tokens, 21)
  assert.equal(wrongMessage.usage.input_tokens, 21)
  for (const record of simulator.bill.since()) {
    assert.deepEqual([record.billed.input_fresh, record.billed.output], [10, 10])
  }
})

test('bytes chopped inside characters and lines add up to the same stream', async t => {
  const { simulator, openai } = await startFor(t)
  const chunks = await openai.chat.completions.create({
    ...chat('output_tokens=6 alphabet=emoji chop=3', { stream_options: { include_usage: true } }),
    stream: true,
  })
  let text = ''
  for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? ''
  assert.equal(text, 'Sim:🌊🌲🌞🌙🍂')
  const response = await post(
    simulator,
    '/v1/chat/completions',
    chat('output_tokens=6 alphabet=emoji chop=3', { stream: true }),
  )
  const pieces = await Array.fromAsync(response.body ?? [])
  const torn = pieces.filter(piece => Buffer.from(piece).toString().includes('\uFFFD'))
  assert.ok(torn.length > 0, 'no piece ended inside a character')
})

test('duplicate events repeat every event and bill nothing twice', async t => {
  const { simulator } = await startFor(t)
  const asked = message('output_tokens=3 fault=duplicate', { stream: true })
  const body = await (await post(simulator, '/v1/messages', asked)).text()
  assert.equal(body.split('event: message_delta').length - 1, 2)
  assert.equal(body.split('event: content_block_delta').length - 1, 6)
  assert.equal(onlyRecord(simulator).billed.output, 3)
})

test('output over the limit is produced, reported and billed', async t => {
  const { simulator, anthropic } = await startFor(t)
  const answered = await anthropic.messages.create(message('fault=over_limit over=7', { max_tokens: 10 }))
  assert.equal(answered.usage.output_tokens, 17)
  assert.equal(onlyRecord(simulator).billed.output, 17)
})

test('unknown events and fields, broken JSON and CRLF reach the client as asked', async t => {
  const { simulator, anthropic } = await startFor(t)
  const final = await anthropic.messages.stream(message('output_tokens=3 fault=unknown,crlf')).finalMessage()
  assert.equal(final.usage.output_tokens, 3)
  const raw = async (fault: string) =>
    (await post(simulator, '/v1/responses', { model: 'gpt-5.4', input: `[[sim fault=${fault}]]`, stream: true })).text()
  const unknown = await raw('unknown,crlf')
  assert.ok(unknown.includes('response.future_thing.delta') && unknown.includes('"sim_future_field"'))
  assert.ok(!/[^\r]\n/.test(unknown.replace(/event: response\.future_thing.*\n.*\n\n/, '')))
  assert.ok((await raw('garbage')).includes('data: {"broken\n'))
})

test('a reply is compressed on demand for a client that takes it', async t => {
  const { simulator, openai } = await startFor(t)
  const { data, response } = await openai.chat.completions.create(chat('output_tokens=4 fault=gzip')).withResponse()
  assert.equal(response.headers.get('content-encoding'), 'gzip')
  assert.equal(data.usage?.completion_tokens, 4)
  assert.equal(onlyRecord(simulator).billed.output, 4)
})

test('a message can report twice, or leave out how its cache writes divide', async t => {
  const { simulator, anthropic } = await startFor(t)
  const stream = anthropic.messages.stream(message('output_tokens=10 cache_write=4 fault=usage_grows,no_split'))
  const outputs: number[] = []
  for await (const event of stream) if (event.type === 'message_delta') outputs.push(event.usage.output_tokens)
  const final = await stream.finalMessage()
  assert.deepEqual(outputs, [5, 10])
  assert.equal(final.usage.cache_creation, null)
  assert.equal(final.usage.cache_creation_input_tokens, 4)
  assert.equal(onlyRecord(simulator).billed.output, 10)
})

test('usage can be told twice, growing or shrinking, or as any numbers at all, and stays right on the bill', async t => {
  const { simulator } = await startFor(t)
  const outputs = async (path: string, body: object, name: string) => {
    const text = await (await post(simulator, path, body)).text()
    return [...text.matchAll(new RegExp(`"${name}":(\\d+)`, 'g'))].map(found => Number(found[1]))
  }
  const told = { stream: true, stream_options: { include_usage: true } }
  for (const [fault, expected] of [
    ['usage_grows', [5, 10]],
    ['usage_shrinks', [10, 5]],
  ] as const) {
    const directives = `output_tokens=10 fault=${fault}`
    const input = `[[sim ${directives}]]`
    assert.deepEqual(await outputs('/v1/chat/completions', chat(directives, told), 'completion_tokens'), expected)
    assert.deepEqual(
      await outputs('/v1/responses', { model: 'gpt-5.4', input, stream: true }, 'output_tokens'),
      expected,
    )
    const messages = await outputs('/v1/messages', message(directives, { stream: true }), 'output_tokens')
    assert.deepEqual(messages.slice(1), expected)
  }
  const lie = 'output_tokens=10 report_input=3 report_output=0'
  assert.deepEqual(await outputs('/v1/chat/completions', chat(lie), 'prompt_tokens'), [3])
  assert.deepEqual(await outputs('/v1/messages', message(lie), 'output_tokens'), [0])
  for (const { billed } of simulator.bill.since()) {
    assert.equal(billed.output, 10)
    assert.ok(billed.input_fresh > 3)
  }
})

test('two events can stand in one, and nothing but their blank lines is lost', async t => {
  const { simulator } = await startFor(t)
  const told = { stream: true, stream_options: { include_usage: true } }
  const spliced = await (
    await post(simulator, '/v1/chat/completions', chat('output_tokens=5 fault=spliced', told))
  ).text()
  const events = spliced.split('\n\n').slice(0, -1)
  const pairs = events.filter(event => event.split('data: ').length === 3)
  assert.ok(pairs.length > 0 && pairs.length * 2 >= events.length)
  assert.match(spliced, /"total_tokens":\d+/)
  assert.ok(spliced.endsWith('data: [DONE]\n\n'))
})

test('a cadence gives a call the waits of a real model, and explicit waits win', async t => {
  const { simulator } = await startFor(t)
  const started = performance.now()
  const elapsed = async (directives: string) => {
    await (await post(simulator, '/v1/chat/completions', chat(directives, { stream: true }))).text()
    return performance.now() - started
  }
  const [explicit, typical] = await Promise.all([
    elapsed('cadence=typical output_tokens=8 first_delay_ms=1'),
    elapsed('cadence=typical output_tokens=8'),
  ])
  // Four chunks of two tokens: three waits of 22 ms; a real model thinks before the first.
  assert.ok(explicit >= 60 && explicit < typical, `${explicit} ms, ${typical} ms`)
  assert.equal((await post(simulator, '/v1/chat/completions', chat('cadence=swing'))).status, 400)
})
