import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import { toFile } from 'openai'
import type { GatewayStack } from './gateway-stack.ts'

const model = 'gpt-5.4-mini'
const request = (custom_id: string) => ({
  custom_id,
  method: 'POST',
  url: '/v1/chat/completions',
  body: { model, messages: [{ role: 'user', content: 'Sing.' }] },
})
const result = (custom_id: string, data: string) => ({
  custom_id,
  response: {
    status_code: 200,
    body: {
      id: `chatcmpl-${custom_id}`,
      model,
      choices: [{ finish_reason: 'stop', message: { content: 'x'.repeat(36), audio: { data } } }],
      usage: { prompt_tokens: 1_000, completion_tokens: 20, total_tokens: 1_020 },
    },
  },
  error: null,
})
const sound = 'UklGRiQA'.repeat(700_000)

/** Whatever a provider writes into its results, none of them is free. */
export function unreadResultsAreEstimated(gateway: GatewayStack, operator: string): void {
  suite('results that cannot be read', () => {
    test('a long result is read to the token; a broken one is estimated under its own key, and the batch says so', async t => {
      const lines = [
        JSON.stringify(result('short', '')),
        JSON.stringify(result('long', sound)),
        JSON.stringify(result('broken', sound)).slice(0, 5_000_000),
        'no result at all',
        'nor does this stand for one',
      ]
      const provider = await startResultsProvider(lines.join('\n'), { completed: 4, total: 4 })
      t.after(() => provider.close())
      const project = await gateway.newProject({
        settings: { path_classes: { batches: true } },
        integrations: { openai: { base_url: `${provider.url}/v1`, api_key: 'sk-results' } },
      })
      const client = gateway.openai(project.apiKey)
      const requests = ['short', 'long', 'broken', 'lost'].map(id => JSON.stringify(request(id))).join('\n')
      const file = await client.files.create({
        file: await toFile(Buffer.from(requests), 'requests.jsonl'),
        purpose: 'batch',
      })
      const batch = await client.batches.create({
        input_file_id: file.id,
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      })
      const shown = await eventually(async () => {
        const { unreadable } = (await (await fetch(`${operator}/batches`)).json()) as {
          unreadable: { batch_id: string; state: string; settlement: object }[]
        }
        return unreadable.find(candidate => candidate.batch_id === batch.id)
      })
      assert.equal(shown.state, 'settled_estimated')
      assert.match(JSON.stringify(shown.settlement), /"results":2,"succeeded":2,"unreadable":3,/)
      const ofResults = () => gateway.eventsOf(project.projectId).filter(event => event.endpoint === 'batches.result')
      await eventually(() => ofResults().length >= 4)
      const events = Object.fromEntries(ofResults().map(event => [event.settlement_key, event]))
      assert.deepEqual(Object.keys(events).sort(), [
        `${batch.id}#0.3`,
        ...['broken', 'long', 'short'].map(id => `${batch.id}/${id}`),
      ])
      for (const id of ['short', 'long']) {
        const event = events[`${batch.id}/${id}`]
        assert.deepEqual(event?.quantities, { in_text: 1_000, out_text: 20 })
        assert.deepEqual([event?.response_id, event?.doubts], [`chatcmpl-${id}`, undefined])
      }
      const [broken, lost] = [events[`${batch.id}/broken`], events[`${batch.id}#0.3`]]
      assert.equal(broken?.quantities.out_text, 10, 'what it said, without its sound')
      assert.equal(lost?.quantities.out_text, 5, 'all of it')
      for (const event of [broken, lost]) {
        assert.ok(event && event.cost_nano_usd > 0 && event.priced)
        assert.ok((event.quantities.in_text ?? 0) > 0)
        assert.deepEqual(event.provenance, { in_text: 'estimated', out_text: 'estimated' })
        assert.deepEqual([event.error_code, event.doubts], ['batch_result_unreadable', ['usage_missing']])
        assert.deepEqual([event.requested_model, event.modifiers.batch], [model, true])
      }
      const metrics = await (await fetch(`${operator}/metrics`)).text()
      assert.match(metrics, /gateway_batch_results_unreadable_total\{[^}]*dialect="openai"[^}]*\} 3/)
    })
  })
}

/** A provider with one batch, which has ended, and whose results are these bytes. */
async function startResultsProvider(results: string, counts: { completed: number; total: number }) {
  const batch = {
    id: 'batch_results',
    object: 'batch',
    endpoint: '/v1/chat/completions',
    status: 'completed',
    input_file_id: 'file-requests',
    output_file_id: 'file-results',
    completion_window: '24h',
    created_at: Math.floor(Date.now() / 1000),
    request_counts: { ...counts, failed: 0 },
  }
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    const { pathname } = new URL(request.url ?? '/', 'http://provider')
    if (pathname === '/v1/files/file-results/content') return void response.end(results)
    const answer =
      pathname === '/v1/files'
        ? { id: 'file-requests', object: 'file', purpose: 'batch' }
        : pathname === '/v1/batches' && request.method === 'GET'
          ? { object: 'list', data: [batch], has_more: false }
          : batch
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
