import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFile } from 'openai'
import { chat, eventually, startFor } from './simulator.ts'

const line = (custom_id: string, body: object, url = '/v1/chat/completions') =>
  JSON.stringify({ custom_id, method: 'POST', url, body })

test('a batch is made of an uploaded file, and its succeeded requests are billed at half', async t => {
  const { simulator, openai } = await startFor(t)
  const content = [
    line('first', chat('batch_ms=200 input_tokens=1001 cached=200 output_tokens=21')),
    line('broken', chat('result=errored')),
    line('late', chat('result=expired')),
    line('unknown', { ...chat('output_tokens=1'), model: 'gpt-none' }),
  ].join('\n')
  const file = await openai.files.create({ file: await toFile(Buffer.from(content), 'in.jsonl'), purpose: 'batch' })
  const created = await openai.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  })
  assert.deepEqual([created.status, created.input_file_id], ['in_progress', file.id])
  const ended = await eventually(async () => {
    const batch = await openai.batches.retrieve(created.id)
    return batch.status === 'in_progress' ? undefined : batch
  })
  assert.equal(ended.status, 'expired')
  assert.deepEqual(ended.request_counts, { total: 4, completed: 1, failed: 3 })
  const output = await (await openai.files.content(ended.output_file_id ?? '')).text()
  const errors = await (await openai.files.content(ended.error_file_id ?? '')).text()
  assert.equal(JSON.parse(output).response.body.usage.completion_tokens, 21)
  assert.equal(errors.trim().split('\n').length, 3)
  const records = simulator.bill.since()
  assert.deepEqual(
    records.map(({ served_tier, cost_nano_usd }) => [served_tier, cost_nano_usd]),
    [['batch', 801 * 375 + 200 * 37.5 + 21 * 2_250]],
  )
  assert.deepEqual(
    (await openai.batches.list()).data.map(({ id }) => id),
    [created.id],
  )
})

test('vectors and responses are worked on in batches too', async t => {
  const { simulator, openai } = await startFor(t)
  for (const [url, body] of [
    ['/v1/embeddings', { model: 'text-embedding-3-small', input: 'hello' }],
    ['/v1/responses', { model: 'gpt-5.4-mini', input: 'hello [[sim output_tokens=5]]' }],
  ] as const) {
    simulator.bill.reset()
    const upload = await toFile(Buffer.from(line('a', body, url)), 'in.jsonl')
    const file = await openai.files.create({ file: upload, purpose: 'batch' })
    const batch = await openai.batches.create({ input_file_id: file.id, endpoint: url, completion_window: '24h' })
    const { status, output_file_id: output } = await openai.batches.retrieve(batch.id)
    assert.equal(status, 'completed')
    assert.match(await (await openai.files.content(output ?? '')).text(), /"usage"/)
    assert.ok((simulator.bill.since()[0]?.cost_nano_usd ?? 0) > 0, url)
  }
})
