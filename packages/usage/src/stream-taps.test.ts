import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Quantities, totalOutputTokens } from '@sluice/contracts'
import { sized } from '@sluice/test-env/test-size'
import fc from 'fast-check'
import { openCompletionTap } from './anthropic/completion-tap.ts'
import { openMessagesTap } from './anthropic/messages-tap.ts'
import { openFreeTap } from './free-tap.ts'
import { openChatTap } from './openai/chat-tap.ts'
import { openImagesTap } from './openai/images-tap.ts'
import { openResponsesTap } from './openai/responses-tap.ts'
import { openSpeechTap } from './openai/speech-tap.ts'
import { openTranscriptTap } from './openai/transcript-tap.ts'
import type { StreamTap } from './stream-tap.ts'

const taps = {
  openChatTap,
  openCompletionTap,
  openFreeTap,
  openImagesTap,
  openMessagesTap,
  openResponsesTap,
  openSpeechTap,
  openTranscriptTap,
}

const read = (name: string): Buffer => readFileSync(new URL(`./fixtures/${name}.sse`, import.meta.url))

/** A stream of `fixtures/`, a tap that reads it, and what it must read. `test/faults` fuzzes the same ones. */
interface ReadStream {
  stream: string
  tap: keyof typeof taps
  options: object
  /** What counts as output: the text, or where that is none its bytes. */
  said?: string
  outputBytes?: number
  quantities: Quantities
  parts?: object[]
  /** Quantities that the provider did not tell; the others are measured. */
  estimated?: string[]
  /** Nothing is estimated, and yet the provider tells no usage: the request says what it costs. */
  withoutUsage?: true
  ended?: false
  failed?: true
}

const streams = JSON.parse(readFileSync(new URL('./fixtures/streams.json', import.meta.url), 'utf8')) as ReadStream[]

const cutAt = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const borders = [...new Set(cuts.map(cut => cut % bytes.length))].sort((a, b) => a - b)
  const chunks: Buffer[] = []
  let from = 0
  for (const to of [...borders, bytes.length]) {
    if (to > from) chunks.push(bytes.subarray(from, to))
    from = to
  }
  return chunks
}

const openTap = ({ tap, options }: ReadStream) => (taps[tap] as (given: object) => StreamTap)(options)

test('every stream has a tap that reads it, and every tap a stream', () => {
  const files = readdirSync(new URL('./fixtures/', import.meta.url)).filter(file => file.endsWith('.sse'))
  assert.deepEqual(files.sort(), [...new Set(streams.map(({ stream }) => `${stream}.sse`))].sort())
  assert.deepEqual(Object.keys(taps).sort(), [...new Set(streams.map(({ tap }) => tap))].sort())
})

for (const row of streams) {
  const { stream, said = '', failed = false } = row
  const name = row.tap === 'openFreeTap' ? `${stream}, free` : stream
  const open = () => openTap(row)
  const bytes = read(stream)

  test(`${name}: its usage is read from one chunk`, () => {
    const tap = open()
    assert.equal(tap.write(bytes), bytes.length)
    const { quantities, provenance, parts } = tap.usage()
    assert.deepEqual(quantities, row.quantities)
    assert.deepEqual(parts, row.parts)
    assert.equal(tap.outputBytes, row.outputBytes ?? Buffer.byteLength(said))
    const estimated = Object.entries(provenance).flatMap(([quantity, mark]) => (mark === 'estimated' ? [quantity] : []))
    assert.deepEqual(estimated, row.estimated ?? [])
    assert.deepEqual(Object.keys(provenance), Object.keys(quantities))
    const { ended, measured, atEventBoundary } = tap
    assert.deepEqual(
      { ended, failed: tap.failed, measured, atEventBoundary },
      {
        ended: row.ended ?? true,
        failed,
        measured: Object.keys(quantities).length === 0 ? !failed : !row.estimated && !row.withoutUsage,
        atEventBoundary: true,
      },
    )
  })

  test(`${name}: no chunk border changes usage, bytes or what is known`, () => {
    const whole = open()
    whole.write(bytes)
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), cuts => {
        const tap = open()
        const sent = cutAt(bytes, cuts).flatMap(chunk => [...tap.forward(chunk)])
        assert.ok(Buffer.concat([...sent, ...tap.flush()]).equals(bytes))
        assert.deepEqual(tap.usage(), whole.usage())
        assert.equal(tap.outputBytes, whole.outputBytes)
        assert.ok(tap.atEventBoundary)
      }),
      { numRuns: sized({ small: 25, full: 100 }), seed: 3 },
    )
    const tap = open()
    for (const byte of bytes) tap.write(Uint8Array.of(byte))
    assert.deepEqual(tap.usage(), whole.usage())
  })

  test(`${name}: the index behind the last event is where a stream can end`, () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 10 }), cuts => {
        const tap = open()
        let at = 0
        let border = 0
        for (const chunk of cutAt(bytes, cuts)) {
          const end = tap.write(chunk)
          if (end > 0) border = at + end
          at += chunk.length
          assert.equal(tap.atEventBoundary, border === at)
          if (border > 0) assert.match(bytes.toString('utf8', 0, border), /\r?\n\r?\n$/)
        }
      }),
      { numRuns: sized({ small: 15, full: 60 }), seed: 5 },
    )
  })

  test(`${name}: a stream cut anywhere gives usage and never throws`, () => {
    const full = open()
    full.write(bytes)
    // What is sold by the second or the character has no output tokens, however much comes out.
    const saysTokens = totalOutputTokens(row.quantities) > 0
    let before = 0
    for (let length = 0; length <= bytes.length; length += sized({ small: 29, full: 7 })) {
      const tap = open()
      tap.write(bytes.subarray(0, length))
      const usage = tap.usage({ inputTokens: 100 })
      assert.ok(tap.outputBytes >= before && tap.outputBytes <= full.outputBytes)
      before = tap.outputBytes
      for (const value of Object.values(usage.quantities)) assert.ok(Number.isSafeInteger(value))
      if (tap.outputBytes > 0 && saysTokens) assert.ok(totalOutputTokens(usage.quantities) > 0)
    }
  })

  test(`${name}: an end that is sent twice is counted once`, () => {
    const tap = open()
    tap.write(bytes)
    const { quantities: once } = tap.usage()
    const tail = bytes
      .toString()
      .split(/(?<=\n\r?\n)/)
      // Text before an error may come twice; before an end that tells the usage it changes nothing.
      .slice(failed ? -1 : -2)
    for (const event of tail) tap.write(Buffer.from(event))
    assert.deepEqual(tap.usage().quantities, once)
  })
}

test('a part of an event that has been sent is completed with the fewest bytes', () => {
  for (const row of streams) {
    const bytes = read(row.stream)
    const open = () => openTap(row)
    for (let at = 1; at < bytes.length; at++) {
      // Every time between the two bytes of a line's end.
      if (at % sized({ small: 17, full: 3 }) !== 1 && bytes[at - 1] !== 0x0d) continue
      const tap = open()
      tap.write(bytes.subarray(0, at))
      if (tap.atEventBoundary) continue
      const end = at + tap.eventEndIn(bytes.subarray(at))
      const sent = bytes.toString('latin1', 0, end)
      assert.match(sent, /\n\r?\n$/)
      const tail = bytes.toString('latin1', at, end)
      assert.equal(tail.match(/[^\r\n]\r?\n\r?\n/g)?.length ?? 0, /^[\r\n]*$/.test(tail) ? 0 : 1)
      tap.write(bytes.subarray(at, end))
      assert.ok(tap.atEventBoundary)
    }
  }
})

test('of a large chunk the beginning of an event is held back, and not all of the chunk', () => {
  const event = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(5_000)}"}}]}\n\n`
  const stream = Buffer.from(event.repeat(20))
  const tap = openChatTap({ model: 'gpt-5.4', withholdUsageChunk: true })
  const border = event.length * 9 + 100
  const before = tap.forward(stream.subarray(0, border))
  const after = tap.forward(stream.subarray(border))
  assert.deepEqual(Buffer.concat([...before, ...after]), stream)
  const [held] = after
  assert.equal(held?.length, 100)
  assert.ok(held.buffer.byteLength < stream.length)
})

test('garbage passes unseen', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), noise => {
      for (const row of streams) {
        const tap = openTap(row)
        assert.deepEqual(Buffer.concat([...tap.forward(noise), ...tap.flush()]), Buffer.from(noise))
        tap.write(Buffer.from('\n\ndata: {"usage":[],"choices":{},"type":7,"response":3}\n\ndata: null\n\ndata: {\n\n'))
        assert.deepEqual(tap.usage(), openTap(row).usage())
      }
    }),
    { numRuns: sized({ small: 25, full: 100 }), seed: 13 },
  )
})

test('the usage chunk is kept from a client that did not ask, and nothing else is', () => {
  for (const name of ['openai-chat-cached-and-reasoning', 'openai-chat-tool-call', 'openai-chat-two-choices-crlf']) {
    const bytes = read(name)
    const expected = bytes
      .toString()
      .split(/(?<=\n\r?\n)/)
      .filter(event => !/^data: .*"choices":\[\],"usage":\{/.test(event))
      .join('')
    assert.ok(expected.length < bytes.length)
    const run = (chunks: Buffer[]) => {
      const tap = openChatTap({ model: 'm', withholdUsageChunk: true })
      const sent = chunks.flatMap(chunk => [...tap.forward(chunk)])
      assert.equal(Buffer.concat([...sent, ...tap.flush()]).toString(), expected)
      assert.ok(tap.measured)
    }
    run([bytes])
    run([...bytes].map(byte => Buffer.of(byte)))
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 30 }), cuts => run(cutAt(bytes, cuts))),
      { numRuns: sized({ small: 30, full: 150 }), seed: 17 },
    )
  }
})

test('where a chunk may be withheld only whole events pass, so that the stream can end at any moment', () => {
  const tap = openChatTap({ model: 'm', withholdUsageChunk: true })
  const text = 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hel'
  assert.deepEqual(tap.forward(Buffer.from(text)), [])
  assert.equal(tap.forward(Buffer.from('lo"}}]}\n\ndata: {"id":"x","cho')).map(String).join(''), `${text}lo"}}]}\n\n`)
  assert.equal(tap.flush().map(String).join(''), 'data: {"id":"x","cho')
})

test('a chat that is cut knows its open choices and estimates what it has not been told', () => {
  const events = read('openai-chat-tool-call')
    .toString()
    .split(/(?<=\n\n)/)
  const tap = openChatTap({ model: 'gpt-5.4' })
  tap.write(Buffer.from(events.slice(0, 2).join('')))
  assert.deepEqual(tap.state, {
    id: 'chatcmpl-A1',
    model: 'gpt-5.4-2026-03-05',
    created: 1763900000,
    choices: [{ index: 0, finishReason: null, inToolCall: true }],
  })
  const usage = tap.usage({ inputTokens: 77 })
  // 11 bytes of name and 11 of arguments at 3.6 bytes a token.
  assert.deepEqual(usage.quantities, { in_text: 77, out_text: 7 })
  assert.deepEqual(usage.provenance, { in_text: 'estimated', out_text: 'estimated' })
  assert.equal(usage.raw_usage, null)
})

test('a messages stream that is cut knows its open blocks and its exact input', () => {
  const events = read('anthropic-thinking-cache-and-tool-call')
    .toString()
    .split(/(?<=\n\n)/)
  const tap = openMessagesTap({ model: 'claude-sonnet-4-6' })
  tap.write(Buffer.from(events.slice(0, 11).join('')))
  assert.deepEqual(tap.state.openBlocks, [{ index: 2, type: 'tool_use' }])
  assert.equal(tap.state.inToolCall, true)
  const { quantities, provenance, modifiers } = tap.usage({ inputTokens: 9999 })
  assert.equal(quantities.in_text, 25)
  assert.equal(provenance.in_text, 'measured')
  assert.equal(provenance.out_text, 'estimated')
  assert.deepEqual(modifiers, { service_tier: 'standard', inference_geo: 'us' })
})

test('what a messages stream has called at its provider counts where it breaks off, once each, and is marked', () => {
  const tap = openMessagesTap({ model: 'claude-sonnet-4-6' })
  const see = (event: object) => tap.write(Buffer.from(`data: ${JSON.stringify(event)}\n\n`))
  see({ type: 'message_start', message: { id: 'msg_1', usage: { input_tokens: 9, output_tokens: 1 } } })
  for (const [index, name] of ['web_search', 'web_search', 'web_fetch', 'code_execution'].entries())
    for (let times = 0; times < 2; times++)
      see({ type: 'content_block_start', index, content_block: { type: 'server_tool_use', name } })
  const { quantities, provenance } = tap.usage()
  assert.deepEqual([quantities.web_search_calls, quantities.web_fetch_calls, quantities.other_tool_calls], [2, 1, 1])
  assert.deepEqual([provenance.web_search_calls, provenance.in_text], ['estimated', 'measured'])
  const server_tool_use = { web_search_requests: 1 }
  see({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5, server_tool_use } })
  assert.deepEqual(tap.usage().quantities, { in_text: 9, out_text: 5, web_search_calls: 1 }, 'told is told')
})

test('a compaction that breaks off counts what it has said', () => {
  const tap = openMessagesTap({ model: 'claude-sonnet-4-6' })
  tap.observe(JSON.stringify({ type: 'message_start', message: { id: 'msg_1', usage: { input_tokens: 9 } } }))
  const delta = { type: 'compaction_delta', content: 'x'.repeat(3600) }
  tap.observe(JSON.stringify({ type: 'content_block_delta', index: 0, delta }))
  assert.equal(tap.usage().quantities.out_text, 1000)
})

test('a spoken chat that breaks off counts its words and its seconds', () => {
  const tap = openChatTap({ model: 'gpt-audio' })
  const say = (audio: object) =>
    tap.observe(JSON.stringify({ id: 'chatcmpl_1', choices: [{ index: 0, delta: { audio } }] }))
  for (let second = 0; second < 20; second++) say({ data: Buffer.alloc(48_000).toString('base64') })
  say({ transcript: 'x'.repeat(36) })
  const { quantities, provenance } = tap.usage({ inputTokens: 9, inputAudioTokens: 30 })
  assert.deepEqual(quantities, { in_text: 9, in_audio: 30, out_text: 10, out_audio: 400 })
  assert.equal(provenance.out_audio, 'estimated')
})

test('tools that a Responses stream has begun count where it breaks off, and are marked', () => {
  const tap = openResponsesTap({ model: 'gpt-5.5' })
  const see = (type: string, event: object) => tap.observe(JSON.stringify({ type: `response.${type}`, ...event }))
  see('created', { response: { id: 'resp_1', model: 'gpt-5.5' } })
  const begin = (output_index: number, item: object) => see('output_item.added', { output_index, item })
  begin(0, { type: 'web_search_call', id: 'ws_1' })
  see('output_item.done', { output_index: 0, item: { type: 'web_search_call', action: { type: 'search' } } })
  begin(1, { type: 'file_search_call', id: 'fs_1' })
  see('output_item.done', { output_index: 1, item: { type: 'file_search_call', id: 'fs_1' } })
  begin(2, { type: 'web_search_call', id: 'ws_2' })
  begin(3, { type: 'code_interpreter_call', id: 'ci_1', container_id: 'cntr_a' })
  begin(4, { type: 'image_generation_call', id: 'ig_1' })
  see('image_generation_call.partial_image', { output_index: 4, partial_image_index: 0, partial_image_b64: 'AAAA' })
  const { quantities, provenance, containers } = tap.usage({ inputTokens: 9 })
  assert.deepEqual(quantities, {
    in_text: 9,
    web_search_calls: 2,
    file_search_calls: 1,
    code_container_sessions: 1,
    code_container_gb_minutes: 5,
    other_tool_calls: 1,
  })
  assert.deepEqual(
    [provenance.web_search_calls, provenance.file_search_calls, provenance.code_container_sessions],
    ['estimated', 'measured', 'estimated'],
  )
  assert.deepEqual(containers, [{ id: 'cntr_a', gb: 1 }])
})

test('a Responses stream that is cut keeps finished items and the open text', () => {
  const events = read('openai-responses-search-and-tool-call')
    .toString()
    .split(/(?<=\n\n)/)
  const tap = openResponsesTap({ model: 'gpt-5.5' })
  tap.write(Buffer.from(events.slice(0, 10).join('')))
  const { state } = tap
  assert.equal(state.sequenceNumber, 9)
  assert.deepEqual(
    state.finishedItems.map(done => done.item.id),
    ['ws_1', 'ws_2'],
  )
  assert.equal(state.openItems[0]?.parts[0]?.text, 'Das Wetter ist schön ☀')
  assert.equal(state.overflow, false)
  const { quantities, provenance } = tap.usage({ inputTokens: 50 })
  assert.equal(quantities.web_search_calls, 1)
  assert.equal(provenance.web_search_calls, 'measured')
  assert.equal(provenance.out_text, 'estimated')
})

test('a Responses stream longer than may be kept says so, and loses no charge', () => {
  const events = read('openai-responses-search-and-tool-call')
    .toString()
    .split(/(?<=\n\n)/)
  const tap = openResponsesTap({ model: 'gpt-5.5' })
  tap.write(Buffer.from(events.slice(0, 8).join('')))
  const delta = { type: 'response.output_text.delta', output_index: 2, content_index: 0, delta: 'x'.repeat(1000) }
  for (let i = 0; i < 300; i++)
    tap.write(Buffer.from(`data: ${JSON.stringify({ ...delta, sequence_number: 8 + i })}\n\n`))
  assert.equal(tap.state.overflow, true)
  assert.deepEqual(tap.state.finishedItems, [])
  assert.equal(tap.state.openItems[0]?.parts.length, 0)
  assert.equal(tap.outputBytes, 300_000)
  assert.equal(tap.usage().quantities.web_search_calls, 1)
})

test('an error before any work costs nothing, whatever was asked', () => {
  const overloaded = streams.filter(row => row.stream.endsWith('-overloaded-at-once'))
  assert.equal(overloaded.length, 3)
  for (const row of overloaded) {
    const tap = openTap(row)
    tap.write(read(row.stream))
    assert.deepEqual(tap.usage({ inputTokens: 10 }).quantities, {})
    assert.equal(tap.failed, true)
  }
})

test('a legacy completion is estimated on both sides, and not before its first word', () => {
  const tap = openCompletionTap({ model: 'claude-2' })
  tap.observe('{"type":"ping"}')
  assert.deepEqual(tap.usage({ inputTokens: 10 }).quantities, {})
  tap.observe('{"type":"completion","id":"compl_1","completion":" Hello","stop_reason":null,"model":"claude-2.1"}')
  assert.deepEqual(tap.usage({ inputTokens: 10 }), {
    quantities: { in_text: 10, out_text: 2 },
    provenance: { in_text: 'estimated', out_text: 'estimated' },
    modifiers: {},
    raw_usage: null,
    served_model: 'claude-2.1',
    response_id: 'compl_1',
  })
})

test('a stream that is free stays free, whatever it says', () => {
  const tap = openFreeTap()
  const half = Buffer.from('data: {"usage":{"output_tokens":9}}\n\ndata: {')
  assert.equal(tap.write(half), half.length - 'data: {'.length)
  assert.equal(tap.atEventBoundary, false)
  assert.deepEqual(tap.usage({ inputTokens: 10 }).quantities, {})
})

test('an error inside a stream is seen in every dialect, and a stream without one has not failed', () => {
  const taps = [
    [openChatTap({ model: 'm' }), '{"error":{"message":"overloaded"}}', '{"choices":[],"error":null}'],
    [openResponsesTap({ model: 'm' }), '{"type":"error","message":"x"}', '{"type":"response.completed","response":{}}'],
    [
      openResponsesTap({ model: 'm' }),
      '{"type":"response.failed","response":{}}',
      '{"type":"response.created","response":{"error":null}}',
    ],
    [openMessagesTap({ model: 'm' }), '{"type":"error","error":{}}', '{"type":"message_stop"}'],
    [openCompletionTap({ model: 'm' }), '{"type":"error","error":{}}', '{"type":"completion","completion":"a"}'],
  ] as const
  for (const [tap, error, other] of taps) {
    tap.observe(other)
    assert.equal(tap.failed, false)
    tap.observe(error)
    assert.equal(tap.failed, true)
  }
})

test('usage that is nested without end is merged without ending us', () => {
  const tap = openMessagesTap({ model: 'claude-opus-5' })
  const depth = 200_000
  const usage = `{"output_tokens":7,"deep":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`
  tap.observe(`{"type":"message_start","message":{"id":"msg_1","usage":${usage}}}`)
  tap.observe(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":${usage}}`)
  assert.deepEqual(tap.usage().quantities, { out_text: 7 })
})
