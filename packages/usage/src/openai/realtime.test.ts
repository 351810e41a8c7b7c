import assert from 'node:assert/strict'
import { test } from 'node:test'
import { totalInputTokens, totalOutputTokens } from '@sluice/contracts'
import { fromInputTranscription, fromRealtimeResponse } from './realtime.ts'
import { bytesPerMs } from './realtime-audio.ts'
import { type OwnPrompt, RealtimeSession, transcriptionModelsOf } from './realtime-session.ts'
import { RealtimeTap } from './realtime-tap.ts'

const usage = {
  total_tokens: 1_000,
  input_tokens: 800,
  output_tokens: 200,
  input_token_details: {
    text_tokens: 500,
    audio_tokens: 260,
    image_tokens: 40,
    cached_tokens: 300,
    cached_tokens_details: { text_tokens: 200, audio_tokens: 90, image_tokens: 10 },
  },
  output_token_details: { text_tokens: 50, audio_tokens: 150 },
}

test('a realtime response is split by what was heard, seen, read and remembered: each token once', () => {
  for (const status of ['completed', 'cancelled', 'incomplete', 'failed']) {
    const result = fromRealtimeResponse({ id: 'resp_1', status, usage, status_details: { reason: 'turn_detected' } })
    assert.deepEqual(result.quantities, {
      in_text: 300,
      in_audio: 170,
      in_image: 30,
      in_cache_read: 200,
      in_cache_read_audio: 90,
      in_cache_read_image: 10,
      out_text: 50,
      out_audio: 150,
    })
    assert.equal(totalInputTokens(result.quantities), 800)
    assert.equal(totalOutputTokens(result.quantities), 200)
    assert.deepEqual([result.response_id, result.finish_reason], ['resp_1', 'turn_detected'])
  }
})

test('what was heard is written down at the price of another model: tokens or milliseconds, and nothing where it failed', () => {
  const event = { type: 'conversation.item.input_audio_transcription.completed', item_id: 'item_1', content_index: 0 }
  const tokens = fromInputTranscription({
    ...event,
    usage: {
      type: 'tokens',
      input_tokens: 30,
      output_tokens: 8,
      total_tokens: 38,
      input_token_details: { text_tokens: 4, audio_tokens: 26 },
    },
  })
  assert.deepEqual(tokens.quantities, { in_text: 4, in_audio: 26, out_text: 8 })
  assert.equal(tokens.response_id, 'item_1')
  assert.deepEqual(fromInputTranscription({ ...event, usage: { type: 'duration', seconds: 2.5 } }).quantities, {
    audio_ms_in: 2_500,
  })
  assert.deepEqual(fromInputTranscription({ item_id: 'item_1', error: {} }).quantities, {})
})

test('until a realtime response is done its output is counted from text and sound, and marked as an estimate', () => {
  const tap = new RealtimeTap({ outputBytesPerMs: bytesPerMs('pcm16') })
  tap.observe({ type: 'response.created', response: { id: 'resp_1', status: 'in_progress' } })
  // 48,000 bytes are a second of sound.
  const delta = Buffer.alloc(48_000).toString('base64')
  tap.observe({ type: 'response.output_audio.delta', response_id: 'resp_1', delta })
  tap.observe({ type: 'response.output_audio_transcript.delta', response_id: 'resp_1', delta: 'x'.repeat(36) })
  tap.observe({ type: 'response.function_call_arguments.delta', response_id: 'resp_1', delta: 'x'.repeat(36) })
  const running = tap.usage({ in_text: 7, in_audio: 9 })
  assert.deepEqual(running.quantities, { in_text: 7, in_audio: 9, out_text: 20, out_audio: 20 })
  assert.deepEqual(new Set(Object.values(running.provenance)), new Set(['estimated']))
  assert.equal(running.response_id, 'resp_1')
  assert.equal(tap.textBytes, 72)

  tap.observe({ type: 'response.done', response: { id: 'resp_1', status: 'cancelled', usage } })
  tap.observe({ type: 'response.done', response: { id: 'resp_1', status: 'completed', usage: { input_tokens: 1e6 } } })
  assert.equal(tap.measured, true)
  assert.equal(totalInputTokens(tap.usage({ in_text: 7 }).quantities), 800)
})

test('the next turn’s input is the last one’s, what was said in it, and what has come since', () => {
  const session = new RealtimeSession()
  session.configure({ model: 'gpt-realtime', audio: { input: { format: { type: 'audio/pcmu' } } } })
  session.hear(8_000)
  assert.equal(session.commitBuffer(), 1_000)
  session.addItem(36, 16_000)
  assert.deepEqual(session.estimateInput(), { in_text: 10, in_audio: 30 })
  session.endTurn(fromRealtimeResponse({ usage }))
  session.hear(4_000)
  session.clearBuffer()
  session.hear(800)
  session.commitBuffer()
  assert.deepEqual(session.estimateInput(), {
    in_text: 350,
    in_audio: 321,
    in_image: 30,
    in_cache_read: 200,
    in_cache_read_audio: 90,
    in_cache_read_image: 10,
  })
})

test('a turn’s own instructions stand in the place of the session’s, its own input in that of the conversation', () => {
  const session = new RealtimeSession()
  session.configure({ instructions: 'i'.repeat(36) })
  session.addItem(72, 0)
  const text = (own?: OwnPrompt) => session.estimateInput(own).in_text
  assert.equal(text(), 30)
  const briefly = { instructionBytes: 360 }
  assert.equal(text(briefly), 120)
  const input = { textBytes: 18, audioBytes: 48_000, namesItems: false }
  assert.deepEqual(session.estimateInput({ input }), { in_text: 15, in_audio: 10 })
  assert.deepEqual(session.estimateInput({ ...briefly, input }), { in_text: 105, in_audio: 10 })
  assert.deepEqual(session.estimateInput({ input: { ...input, namesItems: true } }), { in_text: 35, in_audio: 10 })

  const told = (input_tokens: number) => fromRealtimeResponse({ usage: { input_tokens, output_tokens: 4 } })
  session.endTurn(told(118), briefly)
  // 118 were charged, 100 of them taken to be its own instructions.
  assert.deepEqual([text(briefly), text()], [122, 32])
  session.endTurn(told(1_000), { input })
  assert.equal(text(), 36)
  session.endTurn(told(1_000), { input, isApart: true })
  assert.equal(text(), 36)
  session.endTurn(told(31), { isApart: true })
  assert.equal(text(), 31)
})

test('a session is read in its new and its old form, and keeps what an update leaves out', () => {
  const session = new RealtimeSession()
  assert.deepEqual([session.startsTurns, session.inputBytesPerMs], [true, 48])
  session.configure({
    model: 'gpt-4o-realtime-preview',
    input_audio_format: 'g711_alaw',
    input_audio_transcription: { model: 'whisper-1' },
    turn_detection: { type: 'server_vad', create_response: false },
  })
  session.configure({ instructions: 'be brief' })
  assert.deepEqual(
    [session.model, session.transcriptionModel, session.inputBytesPerMs, session.outputBytesPerMs, session.startsTurns],
    ['gpt-4o-realtime-preview', 'whisper-1', 8, 48, false],
  )
  session.configure({ audio: { input: { transcription: null, turn_detection: { type: 'semantic_vad' } } } })
  assert.deepEqual([session.transcriptionModel, session.startsTurns], [undefined, true])
  assert.deepEqual(
    transcriptionModelsOf({
      audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } },
      input_audio_transcription: { model: 'whisper-1' },
    }),
    ['gpt-4o-transcribe', 'whisper-1'],
  )
  for (const hostile of [null, 3, 'x', [], { audio: 3 }, { audio: { input: [] } }]) {
    session.configure(hostile)
    assert.deepEqual(transcriptionModelsOf(hostile), [])
  }
})
