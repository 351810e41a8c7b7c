import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { suite, test } from 'node:test'
import { eventually, sized } from '@sluice/test-env'
import { type GatewayStack, sseData, type TestProject } from '../gateway-stack.ts'
import type { ScriptedAnswer, ScriptedProvider } from '../scripted-provider.ts'

const MiB = 1024 * 1024

/** A client that reads the head of its answer and then nothing more until it is told to. */
export async function openStalled(
  gateway: GatewayStack,
  apiKey: string,
  body: object,
  script: string,
): Promise<Socket> {
  const { hostname, port } = new URL(gateway.url)
  const text = JSON.stringify(body)
  const socket = connect(Number(port), hostname)
  const head = `Host: x\r\nX-Api-Key: ${apiKey}\r\nX-Script: ${script}\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}`
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\n${head}\r\n\r\n${text}`)
  await new Promise(resolve => socket.once('data', resolve))
  socket.pause()
  socket.on('error', () => {})
  return socket
}

const event = `data: {"id":"c","choices":[{"index":0,"delta":{"content":"${'x'.repeat(32_768)}"}}]}\n\n`
const pieces = 1_280
export const longStream: ScriptedAnswer = {
  headers: ['content-type', 'text/event-stream'],
  chunks: [...Array<string>(pieces).fill(event), 'data: [DONE]\n\n'],
}
const longAnswer: ScriptedAnswer = {
  chunks: ['{"x":"', ...Array<string>(pieces).fill(event.replaceAll(/["\n]/g, ' ')), '"}'],
}
export const chat = { model: 'gpt-5.4-mini', stream: true, messages: [{ role: 'user', content: 'x' }] }
/** Longest time that a client of these tests may take nothing. */
export const stallMs = 12_000

/** What a slow reader, a loop, a tracer and an operator see of the gateway. */
export function streamsAreBounded(
  gateway: GatewayStack,
  provider: ScriptedProvider,
  scripted: TestProject,
  stalled: Socket,
): void {
  const residentBytes = () => {
    const status = readFileSync(`/proc/${gateway.stack.services.gateway.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
  }
  suite('slow readers', () => {
    const cases: [string, object, ScriptedAnswer][] = [
      ['a stream', chat, longStream],
      ['a whole answer', { ...chat, stream: false }, longAnswer],
    ]
    for (const [name, body, answer] of cases) {
      test(`readers who stop reading stop the provider, not fill the gateway: ${name} of 40 MB`, {
        skip: process.platform !== 'linux',
      }, async t => {
        const bytes = answer.chunks.reduce((sum, chunk) => sum + Buffer.byteLength(chunk), 0)
        assert.ok(bytes > 40 * MiB)
        const before = residentBytes()
        const written = provider.written
        const readers = sized({ small: 2, full: 5 })
        const sockets = await Promise.all(
          Array.from({ length: readers }, () => openStalled(gateway, scripted.apiKey, body, provider.add(answer))),
        )
        t.after(() => {
          for (const socket of sockets) socket.destroy()
        })
        // Everything that has a place to go has gone there once the provider writes no more.
        let last = -1
        await eventually(
          () => {
            const stands = provider.written === last
            last = provider.written
            return stands
          },
          { intervalMs: 250 },
        )
        const sent = provider.written - written
        const grown = residentBytes() - before
        t.diagnostic(
          `${readers} readers: ${Math.round(grown / MiB)} MiB more in memory, ${Math.round(sent / MiB)} of ${Math.round((readers * bytes) / MiB)} MiB sent by the provider`,
        )
        // What the provider could send lies in the kernel's buffers of two connections a call.
        assert.ok(sent < readers * bytes * 0.7, `${sent} bytes sent`)
        assert.ok(grown < Math.min(128, readers * 36) * MiB, `${grown} bytes`)
        for (const socket of sockets.slice(1)) socket.destroy()
        const [reader] = sockets
        assert.ok(reader)
        let read = 0
        reader.on('data', chunk => {
          read += chunk.length
        })
        reader.resume()
        await new Promise(resolve => reader.once('close', resolve))
        assert.ok(read > bytes - MiB && read < bytes + MiB, 'who reads on gets the rest')
      })
    }
  })

  test('a base URL that leads back here is a loop, told as one and not tried again', async () => {
    const looped = await gateway.newProject()
    const path = `/accounts/projects/${looped.projectId}/settings`
    await gateway.manage('PUT', `${path}/openai`, { base_url: `${gateway.url}/openai/v1`, api_key: looped.apiKey })
    await gateway.manage('PUT', `${path}/anthropic`, { base_url: `${gateway.url}/anthropic`, api_key: looped.apiKey })
    const claude = { model: 'claude-sonnet-4-6', max_tokens: 5, messages: chat.messages }
    for (const [url, body] of [
      ['/v1/chat/completions', { ...chat, stream: false }],
      ['/v1/chat/completions', chat],
      ['/anthropic/v1/messages', claude],
    ] as const) {
      const answer = await eventually(async () => {
        const answer = await gateway.post(url, looped.apiKey, body)
        return answer.status !== 200 && answer
      })
      assert.equal(answer.status, 508)
      assert.equal(answer.headers.get('x-should-retry'), 'false')
      const { error } = (await answer.json()) as { error: { message: string } }
      assert.match(error.message, /points back to it/)
      const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
      assert.deepEqual([event.status, event.http_status, event.cost_nano_usd], ['failed', 508, 0])
    }
    let requests = 0
    const openai = gateway.openai(looped.apiKey).withOptions({
      maxRetries: 2,
      fetch: (input, init) => {
        requests++
        return fetch(input, init)
      },
    })
    await assert.rejects(openai.responses.create({ model: chat.model, input: 'x' }), { status: 508 })
    assert.equal(requests, 1)
  })

  test('a caller’s trace goes on at the provider', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
    const headers = { traceparent, tracestate: 'vendor=1', baggage: 'a=b' }
    const answer = await gateway.post('/v1/chat/completions', gateway.stack.apiKey, chat, { headers })
    await answer.arrayBuffer()
    const request = await gateway.arrived(answer.headers.get('x-request-id'))
    assert.deepEqual(request.header('traceparent'), [traceparent])
    assert.deepEqual(request.header('tracestate'), ['vendor=1'])
  })

  test('metrics count each call once, under the names of GenAI', async () => {
    const read = async () => {
      const text = await gateway.metrics()
      return (name: string, ...labels: string[]) => {
        const line = text
          .split('\n')
          .find(line => line.startsWith(`${name}{`) && labels.every(label => line.includes(label)))
        return Number(line?.split(' ').at(-1) ?? 0)
      }
    }
    const model = 'gen_ai_request_model="gpt-4.1-mini"'
    const before = await read()
    const text = '[[sim input_tokens=1000 output_tokens=100]]'
    for (const stream of [true, false]) {
      const body = { model: 'gpt-4.1-mini', stream, messages: [{ role: 'user', content: text }] }
      await (await gateway.post('/v1/chat/completions', gateway.stack.apiKey, body)).arrayBuffer()
    }
    await (await gateway.post('/v1/chat/completions', 'ma-nobody', chat)).arrayBuffer()
    const calls = ['gateway_calls_total', 'dialect="openai"', 'status="completed"'] as const
    const after = await eventually(async () => {
      const now = await read()
      return now(...calls) - before(...calls) >= 2 && now
    })
    const more = (name: string, ...labels: string[]) => after(name, ...labels) - before(name, ...labels)
    assert.equal(more('gen_ai_client_operation_duration_seconds_count', model, 'gen_ai_operation_name="chat"'), 2)
    assert.equal(more('gen_ai_client_token_usage_sum', model, 'gen_ai_token_type="input"'), 2_000)
    assert.equal(more('gen_ai_client_token_usage_sum', model, 'gen_ai_token_type="output"'), 200)
    assert.equal(more('gen_ai_client_token_usage_count', model, 'gen_ai_token_type="output"'), 2)
    assert.equal(more(...calls), 2)
    assert.equal(more('gateway_calls_refused_total', 'reason="unauthorized"'), 1)
    assert.equal(more('gateway_internal_errors_total'), 0)
  })

  test('a receipt comes as the last comment where it is asked for, and clients skip it', async () => {
    const answer = await gateway.post('/v1/chat/completions', gateway.stack.apiKey, chat, {
      headers: { 'sluice-receipt': '1' },
    })
    const text = await answer.text()
    const receipt = JSON.parse(/\n: sluice-receipt (.*)\n\n$/.exec(text)?.[1] ?? '{}')
    const event = await gateway.eventOf(answer.headers.get('sluice-call-id'))
    assert.deepEqual(receipt.quantities, event.quantities)
    assert.ok(sseData(text).length > 0)
    const openai = gateway.openai(gateway.stack.apiKey).withOptions({ defaultHeaders: { 'sluice-receipt': '1' } })
    const chunks = await Array.fromAsync(
      await openai.chat.completions.create({
        model: 'gpt-5.4-mini',
        stream: true,
        messages: [{ role: 'user', content: 'x' }],
      }),
    )
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'stop')
  })

  test('a client that has stopped reading for too long is let go, and pays what its provider sent', async () => {
    // It was opened when the tests began: by now its time is nearly over.
    await eventually(
      () => gateway.eventsOf(scripted.projectId).some(({ requested_model }) => requested_model === 'gpt-4o'),
      { intervalMs: 50 },
    )
    const [event] = gateway.eventsOf(scripted.projectId).filter(({ requested_model }) => requested_model === 'gpt-4o')
    assert.equal(event?.status, 'aborted')
    assert.ok((event?.quantities.out_text ?? 0) > 0)
    stalled.destroy()
  })

  test('no call is left behind', async () => {
    await eventually(async () => /^gateway_active_calls 0$/m.test(await gateway.metrics()))
  })
}
