import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { eventually, message, startFor } from './simulator.ts'

const request = (custom_id: string, directives: string, members: object = {}) => ({
  custom_id,
  params: message(directives, members),
})

test('a batch is worked on over its time, and each succeeded request is billed at half, cache rates and premiums included', async t => {
  const { simulator, anthropic } = await startFor(t)
  const created = await anthropic.messages.batches.create({
    requests: [
      request('first', 'batch_ms=300 input_tokens=1001 cached=200 cache_write=100 output_tokens=21 searches=1'),
      request('premium', 'input_tokens=101 output_tokens=11', { inference_geo: 'us' }),
      request('broken', 'result=errored'),
      request('late', 'result=expired'),
      { custom_id: 'unknown', params: { ...message('output_tokens=1'), model: 'claude-none' } },
    ],
  })
  assert.equal(created.processing_status, 'in_progress')
  assert.equal(created.request_counts.processing, 5)
  assert.equal(created.results_url, null)
  const ended = await eventually(async () => {
    const batch = await anthropic.messages.batches.retrieve(created.id)
    return batch.processing_status === 'ended' && batch
  })
  assert.deepEqual(ended.request_counts, { processing: 0, succeeded: 2, errored: 2, canceled: 0, expired: 1 })
  const results = new Map<string, Anthropic.Messages.MessageBatchResult>()
  for await (const { custom_id, result } of await anthropic.messages.batches.results(created.id))
    results.set(custom_id, result)
  assert.deepEqual([...results.keys()], ['unknown', 'late', 'broken', 'premium', 'first'])
  const first = results.get('first')
  assert.equal(first?.type === 'succeeded' && first.message.usage.service_tier, 'batch')
  assert.equal(results.get('late')?.type, 'expired')
  const records = simulator.bill.since()
  assert.deepEqual(
    records.map(({ served_tier, cost_nano_usd }) => [served_tier, cost_nano_usd]),
    [
      ['batch', 701 * 1_500 + 200 * 150 + 100 * 1_875 + 21 * 7_500 + 10_000_000],
      ['batch', 101 * 1_650 + 11 * 8_250],
    ],
  )
})

test('a cancelled batch ends what it has begun and bills nothing of the rest', async t => {
  const { simulator, anthropic } = await startFor(t)
  const requests = Array.from({ length: 20 }, (_, index) => request(`r${index}`, 'batch_ms=6000 output_tokens=4'))
  const { id } = await anthropic.messages.batches.create({ requests })
  await eventually(async () => {
    await anthropic.messages.batches.retrieve(id)
    return simulator.bill.since().length > 0
  })
  await anthropic.messages.batches.cancel(id)
  const { request_counts: counts, processing_status } = await anthropic.messages.batches.retrieve(id)
  assert.equal(processing_status, 'ended')
  assert.ok(counts.succeeded >= 1 && counts.canceled >= 1 && counts.succeeded + counts.canceled === 20)
  assert.equal(simulator.bill.since().length, counts.succeeded)
})

test('batches are listed by page, seen by their own credential only, and deleted once they have ended', async t => {
  const { simulator, anthropic } = await startFor(t)
  const ids: string[] = []
  for (let index = 0; index < 5; index += 1)
    ids.push((await anthropic.messages.batches.create({ requests: [request('a', `batch_ms=${index * 9_000}`)] })).id)
  const listed: string[] = []
  for await (const batch of anthropic.messages.batches.list({ limit: 2 })) listed.push(batch.id)
  assert.deepEqual(listed, [...ids].reverse())
  const stranger = new Anthropic({ baseURL: simulator.url, apiKey: 'sk-ant-other', maxRetries: 0 })
  assert.deepEqual((await stranger.messages.batches.list()).data, [])
  await assert.rejects(stranger.messages.batches.retrieve(ids[0] ?? ''), Anthropic.NotFoundError)
  await assert.rejects(anthropic.messages.batches.delete(ids[4] ?? ''), Anthropic.BadRequestError)
  assert.equal((await anthropic.messages.batches.delete(ids[0] ?? '')).type, 'message_batch_deleted')
  await assert.rejects(anthropic.messages.batches.retrieve(ids[0] ?? ''), Anthropic.NotFoundError)
})
