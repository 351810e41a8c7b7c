import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import type { UsageRecordedData } from '@sluice/contracts'
import { sized } from '@sluice/test-env'
import OpenAI from 'openai'
import { type GatewayStack, requestIdOf, sseData, type TestProject } from '../gateway-stack.ts'
import type { ScriptedProvider } from '../scripted-provider.ts'

/**
 * Of a gateway that soon gives a silent provider up. Only calls to a provider that is to be silent go to it: on a machine that
 * others use every provider may be silent for as long.
 */
export const impatience = { GATEWAY_STREAM_HEADERS_TIMEOUT_MS: '4000', GATEWAY_IDLE_TIMEOUT_MS: '1500' }

const say = (text: string) => [{ role: 'user' as const, content: text }]
const chat = (text: string, more: object = {}) => ({ model: 'gpt-5.4-mini', messages: say(text), ...more })
const message = (text: string, more: object = {}) => ({
  model: 'claude-sonnet-4-6',
  max_tokens: 1000,
  messages: say(text),
  ...more,
})

/** What a provider does wrong: the client reads it as it is, or in its own dialect, and every attempt has its event. */
export function errorsAreTold(
  gateway: GatewayStack,
  impatient: GatewayStack,
  provider: ScriptedProvider,
  scripted: TestProject,
): void {
  const { apiKey } = gateway.stack
  suite('provider errors', { concurrency: 4 }, () => {
    const statuses: readonly number[] = [400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 529]
    for (const [dialect, path, body, some] of [
      ['openai', '/v1/chat/completions', chat('x'), [400, 402, 404, 422, 429, 500, 503]],
      ['anthropic', '/anthropic/v1/messages', message('x', { stream: true }), [401, 403, 409, 429, 500, 502, 529]],
    ] as const) {
      test(`status and body of a refusal by the provider pass untouched and cost nothing: ${dialect}`, async () => {
        for (const status of sized({ small: some, full: statuses })) {
          const odd = `{ "error" : {"code":"of_the_provider", "big":12345678901234567890}}\n`
          const script = provider.add({
            status,
            headers: [
              'content-type',
              'application/json',
              'retry-after',
              '17',
              'x-should-retry',
              'true',
              'request-id',
              'req_1',
            ],
            chunks: [odd],
          })
          const answer = await gateway.post(path, scripted.apiKey, body, { headers: { 'x-script': script } })
          assert.deepEqual([answer.status, await answer.text()], [status, odd])
          const names = ['retry-after', 'x-should-retry', 'request-id'].map(name => answer.headers.get(name))
          assert.deepEqual(names, ['17', 'true', 'req_1'])
          const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
          assert.deepEqual(
            [event.status, event.http_status, event.cost_nano_usd, event.quantities],
            ['failed', status, 0, {}],
          )
          assert.equal(event.error_code, `provider_${status}`)
        }
      })
    }

    test('a redirect is not followed: no provider sends our credential elsewhere', async () => {
      const script = provider.add({
        status: 302,
        headers: ['location', `${provider.url}/elsewhere`],
        chunks: ['moved'],
      })
      const seen = provider.seen.length
      const answer = await gateway.post('/v1/chat/completions', scripted.apiKey, chat('x'), {
        headers: { 'x-script': script },
        redirect: 'manual',
      })
      assert.equal(answer.status, 302)
      assert.ok(!provider.seen.slice(seen).some(request => request.url === '/elsewhere'))
    })

    test('an error inside a stream that began with 200 passes, and the attempt has failed', async () => {
      for (const [path, body] of [
        ['/v1/chat/completions', chat('[[sim fault=overloaded]]', { stream: true })],
        ['/v1/responses', { model: 'gpt-5.4-mini', stream: true, input: '[[sim fault=error at=5]]' }],
        ['/anthropic/v1/messages', message('[[sim fault=overloaded]]', { stream: true })],
        ['/anthropic/v1/messages', message('[[sim fault=error at=5]]', { stream: true })],
      ] as const) {
        const answer = await gateway.post(path, apiKey, body)
        assert.equal(answer.status, 200)
        const text = await answer.text()
        const last = sseData(text).at(-1)
        assert.ok(last.error ?? last.response?.error, text)
        const errors = sseData(text).filter(event => event.error ?? event.response?.error)
        assert.equal(errors.length, 1, 'one error, the provider’s own')
        const bill = await gateway.closedBillOf(requestIdOf(answer))
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.equal(event.status, 'failed', `${path}: ${text}`)
        assertOutput(event, bill.billed.output)
      }
    })

    test('a stream that breaks off ends with its dialect’s error, and what came is settled', async () => {
      const openai = gateway.openai(apiKey)
      const dropped = '[[sim fault=drop at_byte=3000 output_tokens=400 delay_ms=1]]'
      for (const stream of [
        () => openai.chat.completions.create({ ...chat(dropped), stream: true }),
        () => openai.responses.create({ model: 'gpt-5.4-mini', input: dropped, stream: true }),
        () => gateway.anthropic(apiKey).messages.create({ ...message(dropped), stream: true }),
      ]) {
        const { data, response } = await (stream() as ReturnType<typeof openai.responses.create>).withResponse()
        let last: { type?: string } | undefined
        try {
          for await (const event of data as unknown as AsyncIterable<{ type?: string }>) last = event
          assert.equal(last?.type, 'response.failed')
        } catch (error) {
          assert.ok(error instanceof OpenAI.APIError || error instanceof Anthropic.APIError, String(error))
          assert.match(String(error.message), /could not be reached or broke off/)
        }
        const event = await gateway.eventOf(response.headers.get('sluice-call-id'))
        assert.deepEqual([event.status, event.error_code], ['failed', 'provider_unreachable'])
        assert.equal(event.provenance.out_text, 'estimated')
        assert.ok((event.quantities.out_text ?? 0) > 0 && event.cost_nano_usd > 0)
      }
    })

    test('a stream that breaks off inside an event ends with an error that stands alone, however large the event', async () => {
      const whole = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
      for (const size of [1_000, 600_000]) {
        for (const stream_options of [{ include_usage: true }, undefined]) {
          const half = `data: {"id":"c","choices":[{"index":0,"delta":{"content":"${'x'.repeat(size)}`
          const chunks = [whole, half.slice(0, 400_000), half.slice(400_000)].filter(chunk => chunk !== '')
          const script = provider.add({ headers: ['content-type', 'text/event-stream'], chunks, breaks: true })
          const body = chat('x', { stream: true, ...(stream_options ? { stream_options } : {}) })
          const answer = await gateway.post('/v1/chat/completions', scripted.apiKey, body, {
            headers: { 'x-script': script },
          })
          const text = await answer.text()
          const blocks = text.split('\n\n')
          assert.equal(`${blocks[0]}\n\n`, whole)
          assert.deepEqual(blocks.slice(-2), ['data: [DONE]', ''])
          assert.equal(JSON.parse(blocks.at(-3)?.slice(6) ?? '').error.code, 'provider_unreachable')
          // Of an event that is held back nothing is out.
          assert.equal(blocks.length, size < 256_000 ? 4 : 5)
        }
      }
    })

    test('a stream without its last words passes as it is and has failed', async () => {
      const answer = await gateway.post(
        '/v1/chat/completions',
        apiKey,
        chat('[[sim fault=truncate at=5]]', { stream: true }),
      )
      const text = await answer.text()
      assert.ok(!text.includes('[DONE]') && !text.includes('"error"'))
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.deepEqual([event.status, event.error_code], ['failed', 'provider_ended_early'])
    })

    test('a provider that is not there, or hangs up before it has said anything, is a 502 in the dialect and costs nothing', async () => {
      const nobody = await freePort()
      const away = await gateway.newProject({
        integrations: {
          openai: { base_url: `http://127.0.0.1:${nobody}/v1`, api_key: 'x' },
          anthropic: { base_url: `http://127.0.0.1:${nobody}`, api_key: 'x' },
        },
      })
      const dropped = '[[sim fault=drop]]'
      for (const [key, path, body] of [
        [away.apiKey, '/v1/chat/completions', chat('x')],
        [away.apiKey, '/v1/responses', { model: 'gpt-5.4-mini', input: 'x', stream: true }],
        [away.apiKey, '/anthropic/v1/messages', message('x', { stream: true })],
        [away.apiKey, '/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' }],
        [away.apiKey, '/v1/audio/speech', { model: 'tts-1', input: 'x', voice: 'alloy' }],
        [apiKey, '/v1/chat/completions', chat(dropped)],
        [apiKey, '/v1/responses', { model: 'gpt-5.4-mini', input: dropped }],
        [apiKey, '/anthropic/v1/messages', message(dropped)],
      ] as const) {
        const answer = await gateway.post(path, key, body)
        assert.equal(answer.status, 502, path)
        const told = (await answer.json()) as { type?: string; error: { type: string; code?: string; message: string } }
        if (path.startsWith('/anthropic')) assert.deepEqual([told.type, told.error.type], ['error', 'api_error'])
        else assert.equal(told.error.code, 'provider_unreachable')
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        assert.deepEqual([event.status, event.error_code], ['failed', 'provider_unreachable'])
        assert.deepEqual([event.http_status, event.cost_nano_usd, event.quantities], [0, 0, {}], path)
      }
    })

    test('a provider that says nothing is a 504 in the dialect', async () => {
      const silent = await startSilentServer()
      try {
        const waiting = await impatient.newProject({
          integrations: {
            openai: { base_url: `http://127.0.0.1:${silent.port}/v1`, api_key: 'x' },
            anthropic: { base_url: `http://127.0.0.1:${silent.port}`, api_key: 'x' },
          },
        })
        const [openai, anthropic] = await Promise.all([
          impatient.post('/v1/chat/completions', waiting.apiKey, chat('x', { stream: true })),
          impatient.post('/anthropic/v1/messages', waiting.apiKey, message('x', { stream: true })),
        ])
        assert.deepEqual([openai.status, anthropic.status], [504, 504])
        assert.equal(((await openai.json()) as { error: { code: string } }).error.code, 'provider_timeout')
        assert.equal(((await anthropic.json()) as { error: { type: string } }).error.type, 'api_error')
        const event = await impatient.eventOf(openai.headers.get('sluice-call-id'))
        assert.deepEqual([event.status, event.error_code], ['failed', 'provider_timeout'])
        // It is we who gave up: what it was asked it may have done.
        assert.deepEqual([event.cost_nano_usd > 0, event.provenance], [true, { in_text: 'estimated' }])
      } finally {
        silent.close()
      }
    })

    test('a provider that falls silent in mid-stream ends with its dialect’s error', async () => {
      const silence = '[[sim output_tokens=40 delay_ms=1 fault=silence at=5 silence_ms=20000]]'
      const told = [
        [
          '/v1/chat/completions',
          chat(silence, { stream: true }),
          /\ndata: \{.*"error":\{.*did not answer in time.*\n\ndata: \[DONE\]\n\n$/,
        ],
        [
          '/anthropic/v1/messages',
          message(silence, { stream: true }),
          /event: error\ndata: \{"type":"error",.*did not answer in time.*\n\n$/,
        ],
      ] as const
      await Promise.all(
        told.map(async ([path, body, end]) => {
          const answer = await impatient.post(path, apiKey, body)
          assert.match(await answer.text(), end)
          const event = await impatient.eventOf(answer.headers.get('sluice-call-id'))
          assert.deepEqual(
            [event.status, event.error_code, event.provenance.out_text],
            ['failed', 'provider_timeout', 'estimated'],
          )
          assert.equal((await impatient.closedBillOf(requestIdOf(answer))).ended, 'aborted')
        }),
      )
    })

    test('usage that is not sent is estimated and says so', async () => {
      for (const stream of [true, false]) {
        for (const [path, body] of [
          ['/v1/chat/completions', chat('[[sim fault=no_usage output_tokens=50]]', { stream })],
          ['/v1/responses', { model: 'gpt-5.4-mini', stream, input: '[[sim fault=no_usage output_tokens=50]]' }],
          ['/anthropic/v1/messages', message('[[sim fault=no_usage output_tokens=50]]', { stream })],
        ] as const) {
          const uncounted = await gateway.textsByBytes()
          const answer = await gateway.post(path, apiKey, body)
          await answer.text()
          const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
          assert.equal(event.status, 'completed')
          // The messages dialect tells its input at the start of a stream.
          if (!path.startsWith('/anthropic') || !stream) assert.equal(event.provenance.in_text, 'estimated')
          assert.equal(event.provenance.out_text, 'estimated', `${path} ${stream}`)
          // 50 words are 51 tokens; 200 bytes do where the gateway says that it had no time to count.
          const bytesDo = event.quantities.out_text === 56 && (await gateway.textsByBytes()) > uncounted
          assert.ok(bytesDo || event.quantities.out_text === 51, `${path} ${stream}: ${event.quantities.out_text}`)
          assert.ok(event.cost_nano_usd > 0)
        }
      }
    })

    test('doubled events and running totals count once', async () => {
      for (const [path, body] of [
        ['/v1/chat/completions', chat('[[sim fault=duplicate output_tokens=20]]', { stream: true })],
        ['/v1/responses', { model: 'gpt-5.4-mini', stream: true, input: '[[sim fault=duplicate output_tokens=20]]' }],
        ['/anthropic/v1/messages', message('[[sim fault=duplicate,usage_grows output_tokens=20]]', { stream: true })],
      ] as const) {
        const answer = await gateway.post(path, apiKey, body)
        await answer.text()
        const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
        const bill = await gateway.closedBillOf(requestIdOf(answer))
        assert.equal(event.cost_nano_usd, bill.cost_nano_usd, path)
      }
    })
  })

  suite('bodies that cannot be served', { concurrency: 4 }, () => {
    const refused: [string, string, string | Buffer, number, RegExp][] = [
      ['no JSON', '/v1/chat/completions', 'model=gpt', 400, /must be a JSON object/],
      ['an array', '/v1/chat/completions', '[{"model":"gpt-5.4-mini"}]', 400, /must be a JSON object/],
      ['an empty body', '/v1/chat/completions', '', 400, /must be a JSON object/],
      ['half a body', '/v1/responses', '{"model":"gpt-5.4-mini","input":"x', 400, /not valid JSON/],
      [
        'bytes behind the object',
        '/v1/responses',
        '{"model":"gpt-5.4-mini"}{"model":"gpt-5.5"}',
        400,
        /behind its JSON object/,
      ],
      ['two models', '/v1/chat/completions', '{"model":"gpt-5.4-mini","model":"gpt-5.5"}', 400, /names "model" twice/],
      [
        'two models, one in escapes',
        '/anthropic/v1/messages',
        '{"model":"claude-sonnet-4-6","mod\\u0065l":"claude-opus-4-5"}',
        400,
        /names "model" twice/,
      ],
      ['no model', '/v1/embeddings', '{"input":"x"}', 400, /names no "model"/],
      ['a model that is no text', '/v1/embeddings', '{"model":7}', 400, /text was expected/],
      ['an empty model', '/anthropic/v1/messages', '{"model":""}', 400, /empty, too long/],
      ['a model nobody has priced', '/v1/chat/completions', '{"model":"gpt-unheard-of"}', 400, /has no price here/],
      [
        'a response in the background',
        '/v1/responses',
        '{"model":"gpt-5.4-mini","background":true}',
        403,
        /belongs to the path class "stored", which is off/,
      ],
      [
        'a body above the limit',
        '/v1/embeddings',
        Buffer.alloc(16 * 1024 * 1024 + 1, 0x20),
        413,
        /larger than 16777216 bytes/,
      ],
    ]
    for (const [name, path, body, status, message] of refused) {
      test(`${name}: ${status}, and says what to do`, async () => {
        const answer = await gateway.post(path, apiKey, body)
        assert.equal(answer.status, status)
        const { type, error } = (await answer.json()) as { type?: string; error: { message: string } }
        assert.match(error.message, message)
        assert.equal(type, path.startsWith('/anthropic') ? 'error' : undefined)
        assert.match(answer.headers.get('x-meshagent-error-message') ?? '', message)
      })
    }

    test('a path that is in no row of the table is refused in its dialect', async () => {
      for (const [path, method] of [
        ['/v1/chat/completions/', 'POST'],
        ['/v1/assistants', 'POST'],
        ['/openai/v1/responses/resp_1', 'PUT'],
        ['/v1/chat/completions', 'GET'],
        ['/v1/chat%2Fcompletions', 'POST'],
        ['/v1//chat/completions', 'POST'],
        ['/anthropic/v1/messages/batches/a/b', 'POST'],
        ['/anthropic/v1/chat/completions', 'POST'],
      ]) {
        const answer = await fetch(`${gateway.url}${path}`, {
          method: method as string,
          headers: { 'x-api-key': apiKey },
        })
        const { error } = (await answer.json()) as { error: { code?: string; type: string } }
        assert.deepEqual([path, answer.status], [path, 400])
        assert.equal(
          error.code ?? error.type,
          path?.startsWith('/anthropic') ? 'invalid_request_error' : 'path_not_supported',
        )
      }
    })
  })
}

/**
 * The output is that of the bill. Where it is estimated: the vocabulary has a token more in the simulator's first word; where
 * this machine had no time to count, 3.6 bytes are taken for one of the simulator's tokens of four.
 */
function assertOutput(event: UsageRecordedData, billed: number): void {
  const output = event.quantities.out_text ?? 0
  if (event.provenance.out_text !== 'estimated') assert.equal(output, billed)
  // The simulator's words are tokens of the vocabulary too, but for the first one, which is two.
  else assert.equal(output, billed + 1)
}

async function freePort(): Promise<number> {
  const server = await startSilentServer()
  server.close()
  return server.port
}

/** Takes connections and never answers. */
async function startSilentServer(): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<import('node:net').Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as import('node:net').AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
