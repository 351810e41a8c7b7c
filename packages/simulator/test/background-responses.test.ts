import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { eventually, onlyRecord, startFor } from './simulator.ts'

const asked = (directives: string) => ({
  model: 'gpt-5.4-mini',
  input: `Think long. [[sim ${directives}]]`,
  background: true,
})

test('a background response is queued, made while nobody asks, and billed once', async t => {
  const { simulator, openai } = await startFor(t)
  const queued = await openai.responses.create(asked('input_tokens=100 output_tokens=20 delay_ms=2'))
  assert.deepEqual([queued.status, queued.background, queued.usage], ['queued', true, null])
  const record = await eventually(() => simulator.bill.since().find(({ ended }) => ended === 'completed'))
  assert.equal(record.cost_nano_usd, 100 * 750 + 20 * 4_500)
  const done = await openai.responses.retrieve(queued.id)
  assert.deepEqual([done.status, done.usage?.input_tokens, done.usage?.output_tokens], ['completed', 100, 20])
  assert.equal(onlyRecord(simulator).response_id, queued.id)
})

test('a cancelled background response is billed for what it has produced, and says so', async t => {
  const { simulator, openai } = await startFor(t)
  const queued = await openai.responses.create(asked('output_tokens=1000 delay_ms=5'))
  await new Promise(resolve => setTimeout(resolve, 60))
  const cancelled = await openai.responses.cancel(queued.id)
  assert.equal(cancelled.status, 'cancelled')
  const { billed, ended } = onlyRecord(simulator)
  assert.equal(ended, 'aborted')
  assert.ok(billed.output > 1 && billed.output < 1000)
  assert.equal(cancelled.usage?.output_tokens, billed.output)
})

test('the events of a background response are told again from where a client was', async t => {
  const { openai } = await startFor(t)
  const types: string[] = []
  let id = ''
  for await (const event of await openai.responses.create({ ...asked('output_tokens=8'), stream: true })) {
    types.push(event.type)
    if (event.type === 'response.created') id = event.response.id
  }
  assert.equal(types.at(-1), 'response.completed')
  const again: string[] = []
  for await (const event of await openai.responses.retrieve(id, { stream: true, starting_after: 3 }))
    again.push(event.type)
  assert.deepEqual(again, types.slice(4))
})

test('a stored response is seen by its maker until it is deleted, with what it was asked', async t => {
  const { simulator, openai } = await startFor(t)
  const { id } = await openai.responses.create({ model: 'gpt-5.4-mini', input: 'Keep this.' })
  assert.equal((await openai.responses.retrieve(id)).status, 'completed')
  const items = await openai.responses.inputItems.list(id)
  assert.match(JSON.stringify(items.data), /Keep this/)
  const other = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-other', maxRetries: 0 })
  await assert.rejects(other.responses.retrieve(id), { status: 404 })
  await openai.responses.delete(id)
  await assert.rejects(openai.responses.retrieve(id), { status: 404 })
  const unkept = await openai.responses.create({ model: 'gpt-5.4-mini', input: 'x', store: false })
  await assert.rejects(openai.responses.retrieve(unkept.id), { status: 404 })
})
