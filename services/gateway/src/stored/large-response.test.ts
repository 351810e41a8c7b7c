import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { BackgroundResponse } from '@sluice/contracts'
import { compilePriceBook, readPriceFile } from '@sluice/pricing'
import { importCatalogue } from '@sluice/pricing/catalogue'
import { draftOfBackground } from './background-draft.ts'
import { parseResponse } from './response-object.ts'
import { ResponseFinder } from './response-observer.ts'

const fixture = new URL('../../../../packages/contracts/fixtures/document-background-response.json', import.meta.url)
const job = JSON.parse(readFileSync(fixture, 'utf8')) as BackgroundResponse
const image = 'iVBORw0KGgoA'.repeat(220_000)
const response = (usage: object | null) => ({
  id: job.response_id,
  status: 'completed',
  model: 'gpt-5.4',
  service_tier: 'flex',
  output: [
    { type: 'web_search_call', action: { type: 'search' } },
    { type: 'image_generation_call', result: image },
    { type: 'image_generation_call', result: image },
    { type: 'message', content: [{ type: 'output_text', text: 'x'.repeat(36) }] },
  ],
  tool_usage: { image_gen: { input_tokens: 100, output_tokens: 12_000 } },
  usage,
})
const draftOf = (body: Buffer) =>
  draftOfBackground(job, parseResponse(body), undefined, { finishedAtMs: job.admitted_at_ms })

test('a background response of 5 MB is settled to the token', () => {
  const body = Buffer.from(JSON.stringify(response({ input_tokens: 40, output_tokens: 20 })))
  assert.ok(body.length > 5_000_000)
  const draft = draftOf(body)
  assert.deepEqual(draft.quantities, { in_text: 140, out_text: 20, out_image: 12_000, web_search_calls: 1 })
  assert.deepEqual(draft.modifiers, { service_tier: 'flex' })
  assert.deepEqual([draft.status, draft.doubts, draft.finish_reason], ['completed', undefined, 'completed'])
})

test('one that tells no usage is estimated by what it says, not by its images', () => {
  const draft = draftOf(Buffer.from(JSON.stringify(response(null))))
  assert.deepEqual([draft.quantities.in_text, draft.quantities.out_text], [job.estimated_input_tokens, 10])
  assert.deepEqual(draft.doubts, ['usage_missing'])
})

test('what the model that served did as a tool has the price of the call, by whichever name that is', () => {
  const prices = { in_text: '1', out_text: '5', out_image: '7', web_search_calls: '0.01' }
  const own = { id: 'contract', names: [job.requested_model], prices }
  const books = {
    book: compilePriceBook(importCatalogue({ atMs: Date.parse('2026-11-20') }).book),
    override: compilePriceBook(readPriceFile({ source: 's', providers: { openai: { models: [own] } } })),
  }
  const model = `${job.requested_model}-2099-01-01`
  const tools = [{ type: 'image_generation', model }]
  const body = { ...response({ input_tokens: 40, output_tokens: 20 }), service_tier: 'default', model, tools }
  const told = parseResponse(Buffer.from(JSON.stringify(body)))
  const draft = draftOfBackground(job, told, books, { finishedAtMs: job.admitted_at_ms })
  assert.equal(draft.priced, true)
  assert.equal(draft.cost_nano_usd, 140 * 1_000 + 20 * 5_000 + 12_000 * 7_000 + 10_000_000)
})

test('it is found in a reply that passes, and one that breaks off is none', () => {
  const body = Buffer.from(JSON.stringify(response({ input_tokens: 40, output_tokens: 20 })))
  for (const [end, found] of [
    [body.length, job.response_id],
    [body.length - 1, undefined],
  ] as const) {
    const finder = new ResponseFinder()
    finder.start(200, ['content-type', 'application/json'])
    for (let at = 0; at < end; at += 65_536) finder.write(body.subarray(at, Math.min(at + 65_536, end)))
    const told = finder.told()
    assert.deepEqual([told?.id, told?.ended], [found, found && true])
  }
})
