import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { onlyRecord, startFor } from './simulator.ts'

test('a moderation is free and flags the same words each time', async t => {
  const { simulator, openai } = await startFor(t)
  const { results } = await openai.moderations.create({ input: ['a quiet sea', 'violence'] })
  assert.deepEqual(
    results.map(({ flagged }) => flagged),
    [false, true],
  )
  assert.equal(onlyRecord(simulator).cost_nano_usd, 0)
})

test('a file is seen by the credential that uploaded it, until it is deleted', async t => {
  const { simulator, openai } = await startFor(t)
  const file = await openai.files.create({ purpose: 'user_data', file: await toFile(Buffer.from('waves'), 'a.txt') })
  assert.deepEqual([file.bytes, file.status], [5, 'processed'])
  assert.equal(await (await openai.files.content(file.id)).text(), 'waves')
  const other = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-other', maxRetries: 0 })
  await assert.rejects(other.files.retrieve(file.id), { status: 404 })
  assert.deepEqual((await other.files.list()).data, [])
  await openai.files.delete(file.id)
  await assert.rejects(openai.files.retrieve(file.id), { status: 404 })
})
