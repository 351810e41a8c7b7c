import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { sized } from '@sluice/test-env'
import { type GatewayStack, readChunks, requestIdOf, type TestProject } from '../gateway-stack.ts'
import { inPieces, type ScriptedProvider } from '../scripted-provider.ts'

const paths = {
  chat: '/openai/v1/chat/completions',
  responses: '/openai/v1/responses',
  messages: '/anthropic/v1/messages',
  countTokens: '/anthropic/v1/messages/count_tokens',
  embeddings: '/openai/v1/embeddings',
} as const
type Shape = keyof typeof paths
/** Of each stream, which is cut into pieces of three bytes. */
const words = sized({ small: 6, full: 60 })

function requestOf(shape: Shape, text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const messages = [{ role: 'user', content: text }]
  switch (shape) {
    case 'chat':
      return { model: 'gpt-5.4-mini', messages, ...more }
    case 'responses':
      return { model: 'gpt-5.4-mini', input: text, ...more }
    case 'messages':
      return { model: 'claude-sonnet-4-6', max_tokens: 4096, messages, ...more }
    case 'countTokens':
      return { model: 'claude-sonnet-4-6', messages, ...more }
    case 'embeddings':
      return { model: 'text-embedding-3-small', input: text, ...more }
  }
}

/** What a provider sends is what the client gets, and the other way round. */
export function bytesPassUntouched(gateway: GatewayStack, provider: ScriptedProvider, scripted: TestProject): void {
  /** What the provider really says to a request, as bytes. */
  const record = async (shape: Shape, body: unknown) => {
    const answer = await fetch(`${gateway.stack.simulatorUrl}${paths[shape].replace(/^\/(openai|anthropic)/, '')}`, {
      method: 'POST',
      headers: { authorization: 'Bearer direct', 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { type: answer.headers.get('content-type') ?? '', bytes: Buffer.from(await answer.arrayBuffer()) }
  }
  /** The same bytes played to the gateway in pieces, as its client reads them. */
  const relayed = async (shape: Shape, body: unknown, type: string, chunks: readonly Buffer[]) => {
    const script = provider.add({ headers: ['content-type', type], chunks })
    const answer = await gateway.post(paths[shape], scripted.apiKey, body, { headers: { 'x-script': script } })
    assert.equal(answer.status, 200)
    return { answer, bytes: Buffer.concat(await readChunks(answer.body)) }
  }

  suite('bytes', { concurrency: 3 }, () => {
    const streams: [string, Shape, string, Record<string, unknown>][] = [
      ['chat, text of many bytes a character', 'chat', 'alphabet=emoji', asksUsage],
      ['chat, a tool call', 'chat', 'tool=look tool_args={"where":"östlich","n":1}', { ...asksUsage, tools: [tool] }],
      ['chat, fields and events nobody knows', 'chat', 'fault=unknown', asksUsage],
      ['chat, lines that end in CRLF', 'chat', 'fault=crlf alphabet=cjk', asksUsage],
      ['chat, broken JSON', 'chat', 'fault=garbage', asksUsage],
      ['responses, text', 'responses', 'alphabet=cjk', {}],
      ['responses, fields and events nobody knows', 'responses', 'fault=unknown', {}],
      [
        'messages, thinking and text',
        'messages',
        `reasoning=${words / 3} alphabet=emoji`,
        { thinking: { type: 'enabled', budget_tokens: 1024 } },
      ],
      ['messages, fields and events nobody knows', 'messages', 'fault=unknown,crlf', {}],
    ]
    for (const [name, shape, directives, more] of streams) {
      test(`a stream is the provider's byte for byte, however it is cut into chunks: ${name}`, async () => {
        const body = requestOf(shape, `[[sim output_tokens=${words} ${directives}]]`, { stream: true, ...more })
        const { type, bytes } = await record(shape, body)
        assert.match(type, /^text\/event-stream/)
        for (const size of [bytes.length, 1021, 3]) {
          const got = await relayed(shape, body, type, inPieces(bytes, size))
          assert.ok(got.bytes.equals(bytes), `pieces of ${size}`)
          assert.equal(got.answer.headers.get('content-type'), type)
        }
      })
    }

    for (const shape of ['chat', 'responses', 'messages', 'countTokens', 'embeddings'] as const) {
      test(`a whole answer is the provider's byte for byte: ${shape}`, async () => {
        const more = shape === 'embeddings' ? { dimensions: sized({ small: 96, full: 1_536 }) } : {}
        const body = requestOf(shape, `naïve [[sim alphabet=cjk output_tokens=${words}]]`, more)
        const { bytes, type } = await record(shape, body)
        // As no program would write it: a proxy that parses and writes anew would change it.
        const odd = Buffer.from(
          ` \n${bytes.toString().replace('{', '{ "future" : 1e2,\t"big": 12345678901234567890 ,')}\n`,
        )
        for (const size of [odd.length, 5]) {
          const got = await relayed(shape, body, type, inPieces(odd, size))
          assert.ok(got.bytes.equals(odd))
          assert.equal(got.answer.headers.get('content-length'), String(odd.length))
        }
      })
    }

    test('a whole answer of megabytes passes as it comes and is still metered', async () => {
      const input = Array.from({ length: 120 }, (_, index) => `text ${index}`)
      const body = requestOf('embeddings', '', { input })
      const { bytes, type } = await record('embeddings', body)
      assert.ok(bytes.length > 2_000_000, `${bytes.length} bytes`)
      const got = await relayed('embeddings', body, type, inPieces(bytes, 64_000))
      assert.ok(got.bytes.equals(bytes))
      const event = await gateway.eventOf(got.answer.headers.get('sluice-call-id'))
      assert.equal(event.quantities.in_text, JSON.parse(bytes.toString()).usage.prompt_tokens)
      assert.equal(event.provenance.in_text, 'measured')
    })

    test('only the usage chunk is kept from a client that did not ask for it, however it is cut', async () => {
      const body = requestOf('chat', `[[sim output_tokens=${words} alphabet=emoji]]`, { stream: true })
      const { bytes, type } = await record('chat', { ...body, ...asksUsage })
      const text = bytes.toString()
      const from = text.lastIndexOf('data: {')
      assert.match(text.slice(from), /"choices":\[\].*"usage":\{/)
      const expected = Buffer.from(text.slice(0, from) + text.slice(text.indexOf('\n\n', from) + 2))
      for (const size of [bytes.length, 100, 3]) {
        const got = await relayed('chat', body, type, inPieces(bytes, size))
        assert.equal(got.bytes.toString(), expected.toString())
        const event = await gateway.eventOf(got.answer.headers.get('sluice-call-id'))
        assert.equal(event.provenance.out_text, 'measured')
      }
    })

    test('one event larger than what is held back passes whole', async () => {
      const large = `data: {"id":"x","choices":[{"index":0,"delta":{"content":"${'ü'.repeat(300_000)}"},"finish_reason":"stop"}]}\n\n`
      const bytes = Buffer.from(`${large}data: [DONE]\n\n`)
      for (const more of [asksUsage, {}]) {
        const body = requestOf('chat', 'x', { stream: true, ...more })
        const got = await relayed('chat', body, 'text/event-stream', inPieces(bytes, 50_001))
        assert.ok(got.bytes.equals(bytes))
      }
    })

    test('what is behind the last whole event passes too', async () => {
      const bytes = Buffer.from('data: {"id":"x","choices":[]}\n\ndata: {"half')
      for (const more of [asksUsage, {}]) {
        const got = await relayed('chat', requestOf('chat', 'x', { stream: true, ...more }), 'text/event-stream', [
          bytes,
        ])
        assert.equal(got.bytes.toString(), bytes.toString())
      }
    })
  })

  suite('the request at the provider', { concurrency: 3 }, () => {
    /** Sends bytes as they are and returns what arrived. */
    const arrived = async (path: string, body: string, headers: Record<string, string> = {}) => {
      const answer = await gateway.post(path, gateway.stack.apiKey, body, { headers })
      await answer.arrayBuffer()
      assert.equal(answer.status, 200)
      return gateway.arrived(requestIdOf(answer))
    }
    const oddMessages =
      '"messages" : [ {"role":"user","content":"h\\u00efn\\t😀 \\ud83d\\ude00"} ] , "future":{"big":12345678901234567890, "e":1E+2}'

    test('a body is the client’s byte for byte where nothing must be added', async () => {
      const bodies: [string, string][] = [
        ['/openai/v1/chat/completions', ` {\n"model": "gpt-5.4-mini",${oddMessages} }\r\n`],
        [
          '/openai/v1/chat/completions',
          `{"stream":true,"model":"gpt-5.4-mini","stream_options":{ "include_usage" : true, "include_obfuscation":false},${oddMessages}}`,
        ],
        [
          '/v1/responses',
          `{"stream":true ,"model":"gpt-5.4-mini","input":"h\\u00efn", "stream_options":{"include_obfuscation":false} }`,
        ],
        ['/anthropic/v1/messages', `{"model":"claude-sonnet-4-6","max_tokens":10,"stream":true,${oddMessages}}`],
        ['/v1/embeddings', ` { "model":"text-embedding-3-small" , "input":["\\u00ef"]}`],
      ]
      for (const [path, body] of bodies) assert.equal((await arrived(path, body)).bytes.toString(), body)
    })

    test('one splice asks for the usage chunk and leaves every other byte, include_obfuscation too', async () => {
      const head = `{ "stream" : true, "model":"gpt-5.4-mini", ${oddMessages}`
      const bodies: [string, string][] = [
        [`${head} }`, `${head} ,"stream_options":{"include_usage":true}}`],
        [
          `${head}, "stream_options": {"include_obfuscation" : false } }`,
          `${head}, "stream_options": {"include_obfuscation" : false ,"include_usage":true} }`,
        ],
        [`${head}, "stream_options":{}}`, `${head}, "stream_options":{"include_usage":true}}`],
        [`${head}, "stream_options": null}`, `${head}, "stream_options": {"include_usage":true}}`],
        [
          `${head}, "stream_options":{"include_usage":false,"x":[1]}}`,
          `${head}, "stream_options":{"include_usage":true,"x":[1]}}`,
        ],
      ]
      for (const [sent, expected] of bodies)
        assert.equal((await arrived('/v1/chat/completions', sent)).bytes.toString(), expected)
    })

    test('unknown headers and the query pass; credentials, cookies, hops and what is meant for us do not', async () => {
      const { body } = { body: JSON.stringify(requestOf('messages', 'x')) }
      const head = [
        'POST /anthropic/v1/messages?beta=true&x=%2F HTTP/1.1',
        'Host: example.test',
        `Authorization: Bearer ${gateway.stack.apiKey}`,
        'X-Api-Key: sk-ant-of-the-client',
        'Content-Type: application/json',
        'Cookie: session=1',
        'Forwarded: for=1.2.3.4',
        'X-Forwarded-For: 1.2.3.4',
        'X-Forwarded-Host: example.test',
        'X-Real-Ip: 1.2.3.4',
        'CF-Connecting-IP: 1.2.3.4',
        'Proxy-Authorization: Basic x',
        'OpenAI-Organization: org-x',
        'OpenAI-Project: proj-x',
        'Meshagent-Project-Id: p',
        'X-Meshagent-Annotation-Ticket: 42',
        'Sluice-Tag-Team: blue',
        'Sluice-Receipt: 1',
        'X-LiteLLM-Tags: a,b',
        'Connection: close, X-Of-This-Hop',
        'X-Of-This-Hop: 1',
        'Keep-Alive: timeout=5',
        'TE: trailers',
        'X-Request-Id: chosen-by-the-client',
        'Accept-Encoding: gzip',
        'anthropic-version: 2023-06-01',
        'Anthropic-Beta: a-2026,b-2026',
        'X-Claude-Code-Session-Id: s1',
        'X-Unknown-Header: Kept As It Is',
        'Idempotency-Key: k1',
        'Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
        'Tracestate: vendor=1',
        `Content-Length: ${Buffer.byteLength(body)}`,
      ]
      const text = await gateway.raw(`${head.join('\r\n')}\r\n\r\n${body}`)
      assert.match(text, /^HTTP\/1\.1 200 /)
      const id = /^(?:x-)?request-id: (req_sim\S+)/im.exec(text)?.[1] ?? null
      const request = await gateway.arrived(id)
      assert.equal(request.target, '/v1/messages?beta=true&x=%2F')
      const names = request.headers.map(([name]) => name)
      const kept = [
        'anthropic-version',
        'Anthropic-Beta',
        'X-Claude-Code-Session-Id',
        'X-Unknown-Header',
        'Idempotency-Key',
        'Traceparent',
        'Tracestate',
      ]
      assert.deepEqual(
        names.filter(name => kept.includes(name)),
        kept,
        'in the client’s order and case',
      )
      assert.deepEqual(
        names
          .map(name => name.toLowerCase())
          .filter(name => !kept.some(other => other.toLowerCase() === name))
          .sort(),
        ['accept-encoding', 'connection', 'content-length', 'content-type', 'host', 'via', 'x-api-key'],
        'beside those only what the connection to the provider needs',
      )
      assert.deepEqual(request.header('x-unknown-header'), ['Kept As It Is'])
      assert.deepEqual(request.header('accept-encoding'), ['identity'])
      assert.deepEqual(request.header('host'), [new URL(gateway.stack.simulatorUrl).host])
      assert.match(request.header('via')[0] ?? '', /^1\.1 sluice-gw_\S+$/)
      const callId = /^sluice-call-id: (\S+)/im.exec(text)?.[1] ?? null
      const event = await gateway.eventOf(callId)
      assert.deepEqual(event.claimed.tags, { ticket: '42', team: 'blue', a: '1', b: '1' })
      assert.equal(event.claimed.session_id, 's1')
    })

    test('the Via of other proxies stays in front of ours', async () => {
      const body = JSON.stringify(requestOf('chat', 'x'))
      const request = await arrived('/v1/chat/completions', body, { via: '1.1 sluice-gw_another, 1.0 squid' })
      assert.match(request.header('via').join('|'), /^1\.1 sluice-gw_another, 1\.0 squid, 1\.1 sluice-gw_\S+$/)
    })
  })

  test('of the provider’s headers all pass but cookies, hops, its account and what pretends to be ours', async () => {
    const script = provider.add({
      headers: [
        'content-type',
        'application/json',
        'x-request-id',
        'of-the-provider',
        'retry-after',
        '3',
        'openai-processing-ms',
        '7',
        'x-ratelimit-remaining-requests',
        '9',
        'x-of-tomorrow',
        'a',
        'x-of-tomorrow',
        'b',
        'set-cookie',
        '__cf=1',
        'server',
        'cloudflare',
        'alt-svc',
        'h3',
        'openai-organization',
        'org-secret',
        'anthropic-organization-id',
        'org-secret',
        'access-control-allow-origin',
        '*',
        'sluice-cost-usd',
        '0.00',
        'sluice-call-id',
        'forged',
      ],
      chunks: ['{"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'],
    })
    const answer = await gateway.post(paths.chat, scripted.apiKey, requestOf('chat', 'x'), {
      headers: { 'x-script': script },
    })
    const got = Object.fromEntries(answer.headers)
    assert.equal(got['x-request-id'], 'of-the-provider')
    assert.deepEqual(
      [got['retry-after'], got['openai-processing-ms'], got['x-ratelimit-remaining-requests'], got['x-of-tomorrow']],
      ['3', '7', '9', 'a, b'],
    )
    for (const name of [
      'set-cookie',
      'server',
      'alt-svc',
      'openai-organization',
      'anthropic-organization-id',
      'access-control-allow-origin',
    ])
      assert.equal(got[name], undefined, name)
    assert.match(got['sluice-call-id'] ?? '', /^[0-9a-f-]{36}$/)
    assert.equal(got['sluice-cost-usd'], '0.00001275')
    assert.equal(got['sluice-served-by'], new URL(provider.url).host)
    assert.match(got['sluice-overhead-ms'] ?? '', /^\d+\.\d{3}$/)
  })
}

const asksUsage = { stream_options: { include_usage: true } }
const tool = { type: 'function', function: { name: 'look', parameters: { type: 'object' } } }
