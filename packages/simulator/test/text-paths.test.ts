import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onlyRecord, post, startFor } from './simulator.ts'

const legacy = (directives: string, members: object = {}) => ({
  model: 'claude-haiku-4-5',
  max_tokens_to_sample: 100,
  prompt: `\n\nHuman: Say something. [[sim ${directives}]]\n\nAssistant:`,
  ...members,
})

interface Completion {
  readonly completion: string
  readonly stop_reason: string | null
}

test('a legacy completion is billed for its prompt and its words, which no reply tells', async t => {
  const { simulator } = await startFor(t)
  const answer = await post(simulator, '/anthropic/v1/complete', legacy('input_tokens=100 output_tokens=12'))
  const completion = (await answer.json()) as Completion
  assert.equal(Buffer.byteLength(completion.completion), 12 * 4)
  assert.equal(completion.stop_reason, 'stop_sequence')
  assert.ok(!JSON.stringify(completion).includes('tokens'))
  const record = onlyRecord(simulator)
  assert.deepEqual([record.billed.input_fresh, record.billed.output], [100, 12])
  assert.equal(record.cost_nano_usd, 100 * 1_000 + 12 * 5_000)
})

test('a streamed legacy completion says the same and ends with its stop reason', async t => {
  const { simulator } = await startFor(t)
  const answer = await post(simulator, '/v1/complete', legacy('output_tokens=200', { stream: true }))
  const events = (await answer.text()).matchAll(/^event: completion\ndata: (.*)$/gm)
  const completions = [...events].map(([, data]) => JSON.parse(data ?? '') as Completion)
  const text = completions.map(({ completion }) => completion).join('')
  const reasons = completions.map(({ stop_reason }) => stop_reason)
  assert.equal(Buffer.byteLength(text), 100 * 4, 'max_tokens_to_sample holds')
  assert.deepEqual(reasons.slice(-2), [null, 'max_tokens'])
  assert.equal(onlyRecord(simulator).billed.output, 100)
})

test('a legacy completion without a turn of a human is refused', async t => {
  const { simulator } = await startFor(t)
  const answer = await post(simulator, '/anthropic/v1/complete', { ...legacy(''), prompt: 'Hello' })
  assert.equal(answer.status, 400)
  assert.match(await answer.text(), /Human:/)
})

test('a compaction reports what the bill charges', async t => {
  const { simulator, openai } = await startFor(t)
  const compacted = await openai.responses.compact({
    model: 'gpt-5.4-mini',
    input: 'A long talk. [[sim input_tokens=1000 cached=200 output_tokens=30]]',
  })
  assert.equal(compacted.object, 'response.compaction')
  assert.deepEqual([compacted.usage.input_tokens, compacted.usage.output_tokens], [1000, 30])
  assert.equal(compacted.output[0]?.type, 'compaction')
  const record = onlyRecord(simulator)
  assert.equal(record.response_id, compacted.id)
  assert.equal(record.cost_nano_usd, 800 * 750 + 200 * 75 + 30 * 4_500)
})

test('counting the input of a response is free, and the number a call is billed for', async t => {
  const { simulator, openai } = await startFor(t)
  const asked = { model: 'gpt-5.4-mini', input: 'How much is this?', instructions: 'Be brief.' }
  const count = await openai.responses.inputTokens.count(asked)
  assert.equal(count.object, 'response.input_tokens')
  assert.equal(onlyRecord(simulator).cost_nano_usd, 0)
  const { usage } = await openai.responses.create(asked)
  assert.equal(count.input_tokens, usage?.input_tokens)
})
