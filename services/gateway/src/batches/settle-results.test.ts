import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Pool } from 'undici'
import type { UsageDraft } from '../journal/journal.ts'
import type { Route } from '../resolve-route.ts'
import type { OwnedBatch } from './batch-draft.ts'
import { type SettleDeps, settleResults } from './settle-results.ts'

const fixture = new URL('../../../../packages/contracts/fixtures/document-batch-job.json', import.meta.url)
const job = JSON.parse(readFileSync(fixture, 'utf8')) as OwnedBatch

/** Settles a batch from results that a provider gives, and what was written then. */
async function settle(t: TestContext, endpoint: string, lines: readonly string[], requestCount: number) {
  const server = createServer((_, response) => response.end(lines.join('\n')))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(async () => {
    await pool.close()
    server.close()
  })
  const written: UsageDraft[] = []
  const journal = {
    close: (draft: UsageDraft) => written.push(draft) && draft,
    state: 'ok',
    unpublishedEvents: () => 0,
    synced: async () => {},
  }
  const deps = {
    upstreams: { poolOf: () => pool },
    timeouts: { headersMs: 10_000, idleMs: 10_000 },
    prices: { find: () => undefined, isPublished: () => false },
    journal,
    onResult: () => {},
  } as unknown as SettleDeps
  const total = await settleResults(
    deps,
    { basePath: '/v1', credentialHeaders: [] } as unknown as Route,
    { ...job, dialect: 'openai', creator: { ...job.creator, target_endpoint: endpoint } },
    {
      id: job.batch_id,
      createdAtMs: undefined,
      ended: true,
      endedAtMs: undefined,
      requestCount,
      inputFileId: undefined,
      targetEndpoint: undefined,
      resultFileIds: ['file-results'],
    },
    {
      headers: [],
      stillOurs: async () => {},
      signal: AbortSignal.timeout(60_000),
      progress: { lines: 0, use: undefined },
    },
  )
  return { total, written: Object.fromEntries(written.map(draft => [draft.settlement_key, draft])) }
}

test('a line of 500 vectors, 19 MB long, is charged to the token', async t => {
  const vector = `[${'-0.012345678,'.repeat(3071)}0.1]`
  const data = Array.from({ length: 500 }, (_, index) => `{"index":${index},"embedding":${vector}}`)
  const body = `{"data":[${data.join(',')}],"model":"m","usage":{"prompt_tokens":250000,"total_tokens":250000}}`
  const line = `{"custom_id":"v","response":{"status_code":200,"body":${body}},"error":null}`
  const { total, written } = await settle(t, '/v1/embeddings', [line], 1)
  assert.deepEqual([total.results, total.unreadable], [1, 0])
  const event = written[`${job.batch_id}/v`]
  assert.deepEqual([event?.quantities, event?.provenance], [{ in_text: 250_000 }, { in_text: 'measured' }])
})

test('a long line is read, a broken one is estimated under its own key, and no more than are missing', async t => {
  const sound = 'UklGRiQA'.repeat(700_000)
  const line = (custom_id: string, data: string) => {
    const choices = [{ finish_reason: 'stop', message: { content: 'x'.repeat(36), audio: { data } } }]
    const body = { model: 'gpt-audio', choices, usage: { prompt_tokens: 1_000, completion_tokens: 20 } }
    return JSON.stringify({ custom_id, response: { status_code: 200, body }, error: null })
  }
  const lines = [line('short', ''), line('long', sound), line('broken', sound).slice(0, 5_000_000), 'none', 'too many']
  const { total, written } = await settle(t, '/v1/chat/completions', lines, 4)
  assert.deepEqual([total.results, total.succeeded, total.unreadable], [2, 2, 3])
  const id = job.batch_id
  assert.deepEqual(Object.keys(written), [`${id}/short`, `${id}/long`, `${id}/broken`, `${id}#0.3`])
  for (const name of ['short', 'long'])
    assert.deepEqual(written[`${id}/${name}`]?.quantities, { in_text: 1_000, out_text: 20 })
  for (const [key, said] of [
    [`${id}/broken`, 10],
    [`${id}#0.3`, 2],
  ] as const) {
    const event = written[key]
    assert.deepEqual(event?.quantities, { in_text: job.creator.estimated_input_tokens, out_text: said })
    assert.deepEqual(event?.provenance, { in_text: 'estimated', out_text: 'estimated' })
    assert.deepEqual([event?.error_code, event?.doubts], ['batch_result_unreadable', ['usage_missing']])
  }
})
