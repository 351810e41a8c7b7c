import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromMessage } from './message.ts'
import { openMessagesTap } from './messages-tap.ts'

const tokens = (input: number, output: number, read = 0, written = 0) => ({
  input_tokens: input,
  output_tokens: output,
  cache_read_input_tokens: read,
  cache_creation_input_tokens: written,
})

test('a model that declined mid-stream is charged beside the one that answered, which the top level repeats', () => {
  const result = fromMessage({
    model: 'claude-opus-4-8',
    stop_reason: 'end_turn',
    usage: {
      ...tokens(2, 13_658, 79_214),
      iterations: [
        { type: 'message', model: 'claude-fable-5', ...tokens(2, 578, 72_769, 10_421) },
        { type: 'fallback_message', model: 'claude-opus-4-8', ...tokens(2, 13_658, 79_214) },
      ],
    },
  })
  assert.deepEqual(result.parts, [
    {
      model: 'claude-fable-5',
      quantities: { in_text: 2, in_cache_read: 72_769, in_cache_write_5m: 10_421, out_text: 578 },
    },
  ])
  assert.deepEqual(result.quantities, {
    in_text: 4,
    in_cache_read: 151_983,
    in_cache_write_5m: 10_421,
    out_text: 14_236,
  })
})

test('a model that declined before its first token is not charged', () => {
  const result = fromMessage({
    model: 'claude-opus-4-8',
    usage: {
      ...tokens(412, 264),
      iterations: [
        { type: 'message', model: 'claude-fable-5', ...tokens(412, 0) },
        { type: 'fallback_message', model: 'claude-opus-4-8', ...tokens(412, 264) },
      ],
    },
  })
  assert.deepEqual(result.quantities, { in_text: 412, out_text: 264 })
  assert.equal(result.parts, undefined)
  const refused = { model: 'claude-fable-5', stop_reason: 'refusal', usage: tokens(412, 0) }
  assert.deepEqual(fromMessage(refused).quantities, {})
  assert.deepEqual(fromMessage({ ...refused, usage: tokens(412, 3) }).quantities, { in_text: 412, out_text: 3 })
})

test('turns of a server tool loop are the top level, not beside it', () => {
  const result = fromMessage({
    model: 'claude-opus-5',
    usage: {
      ...tokens(300, 50),
      iterations: [
        { type: 'message', ...tokens(100, 20) },
        { type: 'message', ...tokens(200, 30) },
      ],
      server_tool_use: { web_search_requests: 2, web_fetch_requests: 1, hosted_shell_requests: 4 },
    },
  })
  assert.deepEqual(result.quantities, {
    in_text: 300,
    out_text: 50,
    web_search_calls: 2,
    web_fetch_calls: 1,
    other_tool_calls: 4,
  })
})

test('how much was thought is told by the top level alone, and kept', () => {
  const usage = {
    ...tokens(100, 40),
    output_tokens_details: { thinking_tokens: 25 },
    iterations: [
      { type: 'message', model: 'claude-fable-5', ...tokens(100, 0) },
      { type: 'fallback_message', model: 'claude-opus-5', ...tokens(100, 40) },
    ],
  }
  const { quantities } = fromMessage({ model: 'claude-opus-5', usage })
  assert.deepEqual(quantities, { in_text: 100, out_text: 40, out_reasoning: 25 })
})

test('a compaction and a turn of a kind not known yet stand only in the list, and are charged', () => {
  const result = fromMessage({
    model: 'claude-opus-5',
    usage: {
      ...tokens(100, 20),
      iterations: [
        { type: 'compaction', ...tokens(5000, 400) },
        { type: 'message', ...tokens(100, 20) },
        { type: 'dream', model: 'claude-haiku-5-5', ...tokens(7, 1) },
        'no object',
      ],
    },
  })
  assert.deepEqual(result.quantities, { in_text: 5107, out_text: 421 })
  assert.deepEqual(result.parts, [{ model: 'claude-haiku-5-5', quantities: { in_text: 7, out_text: 1 } }])
})

test('cache writes keep their lifetime: five minutes where none is told, another one apart', () => {
  const written = (usage: object) => fromMessage({ model: 'claude-opus-5', usage: { output_tokens: 1, ...usage } })
  assert.equal(written({ cache_creation_input_tokens: 900, cache_creation: null }).quantities.in_cache_write_5m, 900)
  assert.deepEqual(
    written({
      cache_creation_input_tokens: 900,
      cache_creation: {
        ephemeral_5m_input_tokens: 100,
        ephemeral_1h_input_tokens: 300,
        ephemeral_24h_input_tokens: 500,
      },
    }).quantities,
    { in_cache_write_5m: 100, in_cache_write_1h: 300, in_cache_write_other: 500, out_text: 1 },
  )
})

test('thinking is inside the output, served tier, place and speed are kept, and so is what this code does not know', () => {
  const usage = {
    ...tokens(10, 90),
    output_tokens_details: { thinking_tokens: 30 },
    service_tier: 'priority',
    inference_geo: 'us',
    speed: 'fast',
    fallback_credit: { status: { type: 'redeemed' } },
    quantum_tokens: 5,
  }
  const result = fromMessage({ model: 'claude-opus-5', usage })
  assert.deepEqual(result.quantities, { in_text: 10, out_text: 90, out_reasoning: 30 })
  assert.deepEqual(result.modifiers, { service_tier: 'priority', inference_geo: 'us', speed: 'fast' })
  assert.deepEqual(result.raw_usage, usage)
})

test('turns of a long loop are each a part, to be priced by its own length; short ones add up', () => {
  const turns = (first: number, second: number) => ({
    model: 'claude-sonnet-4-5',
    usage: {
      ...tokens(first + second, 50),
      iterations: [
        { type: 'message', model: 'claude-sonnet-4-5', ...tokens(first, 20) },
        { type: 'compaction', ...tokens(150, 4) },
        { type: 'message', model: 'claude-sonnet-4-5', ...tokens(second, 30) },
      ],
    },
  })
  const long = fromMessage(turns(110_000, 120_000))
  assert.deepEqual(long.quantities, { in_text: 230_150, out_text: 54 })
  assert.deepEqual(long.parts, [
    { model: 'claude-sonnet-4-5', quantities: { in_text: 110_000, out_text: 20 } },
    { model: 'claude-sonnet-4-5', quantities: { in_text: 150, out_text: 4 } },
    { model: 'claude-sonnet-4-5', quantities: { in_text: 120_000, out_text: 30 } },
  ])
  assert.equal(fromMessage(turns(11_000, 12_000)).parts, undefined)
})

test('turns of the own model are parts only as far as they are charged: none of a declined message, none that the top level tells otherwise', () => {
  const model = 'claude-sonnet-4-5'
  const compaction = { type: 'compaction', ...tokens(150_000, 4) }
  const messages = [
    { type: 'message', ...tokens(75_000, 0) },
    { type: 'message', ...tokens(75_000, 0) },
  ]
  const compacted = { model, quantities: { in_text: 150_000, out_text: 4 } }
  const read = (usage: object, stop_reason: string) => fromMessage({ model, stop_reason, usage })

  const declined = read({ ...tokens(150_000, 0), iterations: messages }, 'refusal')
  assert.deepEqual([declined.quantities, declined.parts], [{}, undefined])
  const declinedLate = read({ ...tokens(150_000, 0), iterations: [compaction, ...messages, compaction] }, 'refusal')
  assert.deepEqual(declinedLate.quantities, { in_text: 300_000, out_text: 8 })
  assert.deepEqual(declinedLate.parts, [compacted, compacted])

  const otherwise = read({ ...tokens(0, 5, 160_000), iterations: messages }, 'end_turn')
  assert.deepEqual([otherwise.quantities, otherwise.parts], [{ in_cache_read: 160_000, out_text: 5 }, undefined])
  for (const iterations of [[compaction], [compaction, ...messages]]) {
    const both = read({ ...tokens(0, 5, 160_000), iterations }, 'end_turn')
    assert.deepEqual(both.quantities, { in_text: 150_000, in_cache_read: 160_000, out_text: 9 })
    assert.deepEqual(both.parts, [compacted])
  }
})

test('a credit for a retry makes reads of writes, also of those that a stream has told before', () => {
  const tap = openMessagesTap({ model: 'claude-opus-4-8' })
  const write = (event: object) => tap.write(Buffer.from(`data: ${JSON.stringify(event)}\n\n`))
  const split = { ephemeral_5m_input_tokens: 900, ephemeral_1h_input_tokens: 100 }
  const started = { ...tokens(10, 1, 50, 1_000), cache_creation: split }
  write({ type: 'message_start', message: { id: 'msg_1', model: 'claude-opus-4-8', usage: started } })
  const status = { type: 'redeemed' }
  const delta = { ...tokens(10, 30, 950, 100), fallback_credit: { status } }
  write({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: delta })
  const wanted = { in_text: 10, in_cache_read: 950, in_cache_write_5m: 100, out_text: 30 }
  assert.deepEqual(tap.usage().quantities, wanted)
  assert.deepEqual(fromMessage({ model: 'claude-opus-4-8', usage: delta }).quantities, wanted)
})
