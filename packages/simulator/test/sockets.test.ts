import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type NetConnectOpts } from 'node:net'
import { test } from 'node:test'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import { ResponsesWS } from 'openai/resources/responses/ws'
import WebSocket from 'ws'
import { hashCredential } from '../src/index.ts'
import { eventually, onlyRecord, startFor } from './simulator.ts'

const model = 'gpt-5.4-mini'
// biome-ignore lint/suspicious/noExplicitAny: events of two endpoints
type Event = any

/** A socket that keeps what it hears. */
async function open(url: string, path: string, protocols?: string[]) {
  const headers = protocols === undefined ? { authorization: 'Bearer sk-test' } : {}
  const socket = new WebSocket(url.replace('http', 'ws') + path, protocols, { headers })
  const events: Event[] = []
  socket.on('message', (data: Buffer) => events.push(JSON.parse(data.toString())))
  await once(socket, 'open')
  return {
    socket,
    events,
    send: (event: object) => socket.send(JSON.stringify(event)),
    until: (type: string, count = 1) =>
      eventually(() => {
        const found = events.filter(event => event.type === type)
        return found.length >= count && found
      }),
  }
}

test('a Responses socket takes many turns, each on the bill, each charged for those before it', async t => {
  const { simulator, openai } = await startFor(t)
  const socket = new ResponsesWS(openai)
  t.after(() => socket.close())
  const done: Event[] = []
  socket.on('response.completed', event => done.push(event))
  socket.send({ type: 'response.create', model, input: '[[sim output_tokens=40]]' })
  await eventually(() => done.length === 1)
  const [first] = done
  const next = { type: 'response.create' as const, model, previous_response_id: first.response.id }
  socket.send({ ...next, input: '[[sim output_tokens=10]]' })
  await eventually(() => done.length === 2)
  const before = first.response.usage.total_tokens
  const { usage } = done[1].response
  assert.equal(usage.input_tokens_details.cached_tokens, before - (before % 64))
  assert.ok(usage.input_tokens > before)
  const records = simulator.bill.since()
  assert.deepEqual(
    records.map(record => [record.response_id, record.ended, record.billed.output]),
    done.map(({ response }) => [response.id, 'completed', response.usage.output_tokens]),
  )
})

test('a client secret opens realtime sessions as they were set and nothing else, until its time is over; its maker pays', async t => {
  const { simulator, openai } = await startFor(t)
  const instructions = '[[sim output_tokens=7]]'
  const session = { type: 'realtime' as const, model: 'gpt-realtime', instructions }
  const { value } = await openai.realtime.clientSecrets.create({ session })
  const client = await open(simulator.url, '/v1/realtime', ['realtime', `openai-insecure-api-key.${value}`])
  const [created] = await client.until('session.created')
  assert.equal(created.session.instructions, instructions)
  client.send({ type: 'response.create' })
  await client.until('response.done')
  client.socket.terminate()
  assert.equal(onlyRecord(simulator).credential_sha256, hashCredential('sk-test'))
  const statusOf = async (path: string, secret: string) => {
    const answer = await fetch(simulator.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/sdp' },
      body: 'v=0',
    })
    return answer.status
  }
  assert.equal(await statusOf('/v1/realtime/calls', value), 201)
  assert.equal(await statusOf('/v1/responses', value), 401)
  assert.equal(await statusOf('/v1/realtime/calls', 'ek_nobody'), 401)
  const short = await openai.realtime.clientSecrets.create({
    session,
    expires_after: { anchor: 'created_at', seconds: 0 },
  })
  assert.equal(await statusOf('/v1/realtime/calls', short.value), 401)
})

test('a Responses socket says what is wrong and stays: an unknown turn before, a model, a directive', async t => {
  const { simulator } = await startFor(t)
  const { socket, events, send, until } = await open(simulator.url, '/openai/v1/responses')
  t.after(() => socket.terminate())
  send({ type: 'response.create', model, input: 'x', previous_response_id: 'resp_none' })
  send({ type: 'response.create', model: 'no-such-model', input: 'x', stream_id: 'a' })
  send({ type: 'response.create', model, input: '[[sim status=429 error_code=slow_down]]' })
  await until('error', 3)
  assert.deepEqual(events.map(({ status, error, stream_id }) => [status, error.code, stream_id]).sort(), [
    [400, 'previous_response_not_found', undefined],
    [404, 'model_not_found', 'a'],
    [429, 'slow_down', undefined],
  ])
  send({ type: 'response.create', model, input: 'x' })
  await until('response.completed')
  assert.deepEqual(
    simulator.bill
      .since()
      .map(({ ended }) => ended)
      .sort(),
    ['completed', 'failed', 'failed', 'failed'],
  )
})

test('lanes run beside each other, and their events say which is which', async t => {
  const { simulator } = await startFor(t)
  const { socket, events, send, until } = await open(simulator.url, '/v1/responses')
  t.after(() => socket.terminate())
  send({ type: 'response.create', model, input: '[[sim output_tokens=20 delay_ms=5]]', stream_id: 'slow' })
  send({ type: 'response.create', model, input: '[[sim output_tokens=2]]', stream_id: 'quick' })
  await until('response.completed', 2)
  assert.deepEqual(
    events.filter(({ type }) => type === 'response.completed').map(({ stream_id }) => stream_id),
    ['quick', 'slow'],
  )
})

test('a warm-up gets an id to go on from, says nothing and costs nothing', async t => {
  const { simulator } = await startFor(t)
  const { socket, send, until } = await open(simulator.url, '/v1/responses')
  t.after(() => socket.terminate())
  send({ type: 'response.create', model, input: 'x', generate: false })
  const [warm] = await until('response.completed')
  assert.deepEqual([warm.response.output, warm.response.usage], [[], null])
  assert.equal(onlyRecord(simulator).cost_nano_usd, 0)
  send({ type: 'response.create', model, input: 'x', previous_response_id: warm.response.id })
  await until('response.completed', 2)
})

test('a Responses socket that breaks is billed for what was produced', async t => {
  const { simulator } = await startFor(t)
  const dropped = await open(simulator.url, '/v1/responses')
  dropped.send({ type: 'response.create', model, input: '[[sim output_tokens=50 fault=drop at=7]]' })
  await once(dropped.socket, 'close')
  const record = onlyRecord(simulator)
  assert.deepEqual([record.ended, record.billed.output], ['failed', 7])
  const left = await open(simulator.url, '/v1/responses')
  left.send({ type: 'response.create', model, input: '[[sim output_tokens=500 delay_ms=5]]' })
  await left.until('response.output_text.delta')
  left.socket.terminate()
  await eventually(() => simulator.bill.since(record.seq).at(-1)?.ended === 'aborted')
})

/** The official client speaks TLS only; here its bytes go over a plain connection. */
const plain = {
  createConnection: (options: unknown) =>
    connect({ ...(options as object), path: undefined } as unknown as NetConnectOpts),
}

test('a realtime session through the official client: sound in and out, what was heard, a turn that is cancelled', async t => {
  const { simulator, openai } = await startFor(t)
  const realtime = new OpenAIRealtimeWS({ model: 'gpt-realtime', options: plain as object }, openai)
  t.after(() => realtime.close())
  const events: Event[] = []
  realtime.on('event', event => events.push(event))
  realtime.on('error', error => events.push({ type: 'client_error', error }))
  const until = (type: string, count = 1) =>
    eventually(() => {
      const found = events.filter(event => event.type === type)
      return found.length >= count && found
    })
  await until('session.created')
  realtime.send({
    type: 'session.update',
    session: { type: 'realtime', audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } },
  })
  // Two seconds.
  realtime.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(96_000).toString('base64') })
  realtime.send({ type: 'input_audio_buffer.commit' })
  realtime.send({ type: 'response.create', response: { instructions: '[[sim output_tokens=10]]' } })
  const [done] = await until('response.done')
  assert.deepEqual(done.response.usage.output_token_details, { text_tokens: 10, audio_tokens: 20 })
  assert.equal(done.response.usage.input_token_details.audio_tokens, 20)
  const sound = events.filter(({ type }) => type === 'response.output_audio.delta')
  assert.equal(Buffer.concat(sound.map(({ delta }) => Buffer.from(delta, 'base64'))).length, 20 * 2_400)
  const [heard] = await until('conversation.item.input_audio_transcription.completed')
  assert.equal(heard.usage.input_tokens, 20)

  realtime.send({ type: 'response.create', response: { instructions: '[[sim output_tokens=900 delay_ms=5]]' } })
  await until('response.output_audio.delta', sound.length + 3)
  realtime.send({ type: 'response.cancel' })
  const [, cancelled] = await until('response.done', 2)
  assert.equal(cancelled.response.status, 'cancelled')
  assert.equal(cancelled.response.usage.input_token_details.cached_tokens_details.audio_tokens, 20)

  const records = simulator.bill.since()
  assert.deepEqual(
    records.map(({ endpoint, model, ended }) => [endpoint, model, ended]),
    [
      ['/v1/realtime/transcription', 'gpt-4o-transcribe', 'completed'],
      ['/v1/realtime', 'gpt-realtime', 'completed'],
      ['/v1/realtime', 'gpt-realtime', 'completed'],
    ],
  )
  // 20 × $6 and 6 × $10 a million.
  assert.equal(records[0]?.cost_nano_usd, 120_000 + 60_000)
  assert.ok(!events.some(({ type }) => type === 'client_error'))
})

test('with voice detection the model answers by itself; a turn that breaks is billed for what was produced', async t => {
  const { simulator } = await startFor(t)
  const { socket, send, until } = await open(simulator.url, '/v1/realtime?model=gpt-realtime-mini', [
    'realtime',
    'openai-insecure-api-key.sk-browser',
  ])
  assert.equal(socket.protocol, 'realtime')
  send({
    type: 'session.update',
    session: {
      audio: { input: { format: { type: 'audio/pcmu' }, turn_detection: { type: 'server_vad' } } },
    },
  })
  send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(8_000).toString('base64') })
  await until('input_audio_buffer.speech_started')
  await until('response.done')
  send({
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: '[[sim fault=drop at=3]]' }] },
  })
  send({ type: 'response.create' })
  await once(socket, 'close')
  assert.deepEqual(
    simulator.bill.since().map(({ ended, generated_output_tokens }) => [ended, generated_output_tokens]),
    [
      ['completed', 48],
      ['failed', 9],
    ],
  )
})

test('a socket without a valid credential, or at another path, is refused with a status', async t => {
  const { simulator } = await startFor(t)
  const statusOf = async (path: string, headers: Record<string, string>): Promise<number> => {
    const socket = new WebSocket(simulator.url.replace('http', 'ws') + path, { headers })
    socket.on('error', () => undefined)
    const [, response] = await once(socket, 'unexpected-response')
    socket.terminate()
    return response.statusCode
  }
  assert.equal(await statusOf('/v1/responses', {}), 401)
  assert.equal(await statusOf('/v1/responses', { authorization: 'Bearer sk-invalid' }), 401)
  assert.equal(await statusOf('/v1/chat/completions', { authorization: 'Bearer sk-test' }), 404)
  const ordered = { authorization: 'Bearer sk-test', 'x-sim-upgrade-status': '426' }
  assert.equal(await statusOf('/v1/responses', ordered), 426)
})
