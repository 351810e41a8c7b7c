import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '@sluice/test-env'
import type { GatewayStack, TestProject } from '../gateway-stack.ts'
import { soundOf } from '../media/files.ts'
import type { ScriptedAnswer, ScriptedProvider } from '../scripted-provider.ts'
import { openSocket } from '../sockets/socket-client.ts'

const model = 'gpt-of-tomorrow'
const claude = 'claude-of-tomorrow'
const messages = [{ role: 'user', content: 'Hello' }]
const json = (reply: object): ScriptedAnswer => ({ chunks: [JSON.stringify(reply)] })
const events = (...data: object[]): ScriptedAnswer => ({
  headers: ['content-type', 'text/event-stream'],
  chunks: data.map(each => `event: ${(each as { type?: string }).type}\ndata: ${JSON.stringify(each)}\n\n`),
})
const tokens = { input_tokens: 100, output_tokens: 10, total_tokens: 110 }
const response = { id: 'resp_1', object: 'response', model, status: 'completed', output: [], usage: tokens }

/** Every path with a model, and a reply that tells what it used, where that path's replies do. */
const paths: { name: string; path: string; body: object | (() => FormData); reply: ScriptedAnswer }[] = [
  {
    name: 'chat completions',
    path: '/v1/chat/completions',
    body: { model, messages },
    reply: json({ model, choices: [], usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 } }),
  },
  {
    name: 'streamed responses',
    path: '/v1/responses',
    body: { model, input: 'x', stream: true },
    reply: events({ type: 'response.created', response }, { type: 'response.completed', response }),
  },
  { name: 'responses', path: '/v1/responses', body: { model, input: 'x' }, reply: json(response) },
  {
    name: 'compaction',
    path: '/v1/responses/compact',
    body: { model, input: 'x' },
    reply: json({ ...response, object: 'response.compaction' }),
  },
  {
    name: 'embeddings',
    path: '/v1/embeddings',
    body: { model, input: 'x' },
    reply: json({ model, data: [], usage: { prompt_tokens: 100, total_tokens: 100 } }),
  },
  {
    name: 'speech',
    path: '/v1/audio/speech',
    body: { model, input: 'Hello', voice: 'alloy' },
    reply: { headers: ['content-type', 'audio/mpeg'], chunks: [Buffer.alloc(8_000, 1)] },
  },
  {
    name: 'transcriptions',
    path: '/v1/audio/transcriptions',
    body: () => {
      const form = new FormData()
      form.set('model', model)
      form.set('file', new File([soundOf('wav', 2_000)], 'a.wav'))
      return form
    },
    reply: json({ text: 'Hello', usage: { type: 'tokens', ...tokens } }),
  },
  {
    name: 'images',
    path: '/v1/images/generations',
    body: { model, prompt: 'A sea' },
    reply: json({ data: [{ b64_json: 'x' }], usage: tokens }),
  },
  {
    name: 'messages',
    path: '/anthropic/v1/messages',
    body: { model: claude, max_tokens: 9, messages },
    reply: json({ model: claude, content: [], usage: { input_tokens: 100, output_tokens: 10 } }),
  },
  {
    name: 'completions',
    path: '/anthropic/v1/complete',
    body: { model: claude, max_tokens_to_sample: 9, prompt: '\n\nHuman: Hello\n\nAssistant:' },
    reply: json({ model: claude, completion: 'Hello', stop_reason: 'stop_sequence' }),
  },
]

/** What a project says of models without a price holds on every path. */
export function unpricedHoldsOnEveryPath(gateway: GatewayStack, provider: ScriptedProvider): void {
  const projectOf = (unpriced: string, scripted: boolean) =>
    gateway.newProject({
      settings: { unpriced, path_classes: { batches: true } },
      ...(scripted && {
        integrations: {
          openai: { base_url: `${provider.url}/v1`, api_key: 'sk-scripted' },
          anthropic: { base_url: provider.url, api_key: 'sk-scripted' },
        },
      }),
    })
  const projects = new Map<string, Promise<TestProject>>()
  const shared = (unpriced: string, scripted = true): Promise<TestProject> => {
    const name = `${unpriced} ${scripted}`
    const project = projects.get(name) ?? projectOf(unpriced, scripted)
    projects.set(name, project)
    return project
  }
  const post = async (unpriced: string, path: string, body: object | (() => FormData), reply: ScriptedAnswer) => {
    const { apiKey } = await shared(unpriced)
    const headers = { authorization: `Bearer ${apiKey}`, 'x-script': provider.add(reply) }
    return typeof body === 'function'
      ? fetch(`${gateway.url}${path}`, { method: 'POST', headers, body: body() })
      : gateway.post(path, apiKey, body, { headers })
  }

  suite('a model without a price, path by path', { concurrency: 4 }, () => {
    for (const { name, path, body, reply } of paths)
      test(`${name}: refused, assumed at the highest price, or metered without one`, async () => {
        const denied = await post('deny', path, body, reply)
        const { error } = (await denied.json()) as { error: { message: string } }
        assert.equal(denied.status, 400)
        assert.match(error.message, /of-tomorrow" has no price/)
        for (const unpriced of ['assume_max', 'meter_tokens_only']) {
          const answer = await post(unpriced, path, body, reply)
          assert.equal(answer.status, 200, unpriced)
          await answer.arrayBuffer()
          const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
          assert.ok(Object.keys(event.quantities).length > 0)
          const isAssumed = unpriced === 'assume_max'
          assert.deepEqual(
            [event.cost_nano_usd > 0, event.priced, event.assumed === true, event.unpriced_policy],
            [isAssumed, isAssumed, isAssumed, isAssumed ? 'assume_max' : undefined],
            `${unpriced}: ${JSON.stringify(event.line_items)}`,
          )
        }
      })

    test('turns of sockets and realtime sessions: refused before anything is sent, or let through to the provider', async () => {
      for (const [unpriced, code] of [
        ['deny', 'model_not_priced'],
        ['assume_max', 'model_not_found'],
        ['meter_tokens_only', 'model_not_found'],
      ] as const) {
        const project = await shared(unpriced, false)
        const client = await openSocket(gateway, '/v1/responses', project.apiKey)
        client.send({ type: 'response.create', model, input: 'x' })
        const [{ error }] = await client.until('error')
        client.socket.close()
        assert.equal(error.code, code, unpriced)
        if (unpriced !== 'deny') {
          const [event] = await eventually(() => {
            const found = gateway.eventsOf(project.projectId).filter(each => each.endpoint === 'responses.websocket')
            return found.length > 0 && found
          })
          assert.deepEqual([event?.cost_nano_usd, event?.quantities], [0, {}])
        }
        const opening = openSocket(gateway, `/v1/realtime?model=${model}`, project.apiKey)
        if (unpriced === 'deny') {
          await assert.rejects(opening, /400/)
          continue
        }
        const realtime = await opening
        realtime.socket.close()
      }
    })

    test('requests of batches: all refused for one, or taken', async () => {
      const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: { model, messages } }
      for (const unpriced of ['deny', 'assume_max', 'meter_tokens_only']) {
        const { apiKey } = await shared(unpriced, false)
        const { id } = await gateway.openai(apiKey).files.create({
          file: new File([`${JSON.stringify(line)}\n`], 'batch.jsonl'),
          purpose: 'batch',
        })
        const asked = { input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' }
        const requests = [{ custom_id: 'a', params: { model: claude, max_tokens: 9, messages } }]
        for (const [path, body] of [
          ['/v1/batches', asked],
          ['/anthropic/v1/messages/batches', { requests }],
        ] as const) {
          const text = await (await gateway.post(path, apiKey, body)).text()
          assert.equal(/has no price here/.test(text), unpriced === 'deny', `${unpriced} ${path}: ${text}`)
        }
      }
    })
  })
}
