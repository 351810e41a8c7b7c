import assert from 'node:assert/strict'
import { test } from 'node:test'
import { totalInputTokens, totalOutputTokens } from '@sluice/contracts'
import { fromBatchResult, fromCountTokens, fromMessage } from './anthropic/message.ts'
import { estimateInputTokens, estimateTokens } from './estimate.ts'
import { fromChatCompletion } from './openai/chat-completion.ts'
import { fromEmbedding } from './openai/embedding.ts'
import { fromImages, imageInput } from './openai/image.ts'
import { fromResponse } from './openai/response.ts'
import { fromSpeechBytes, fromSpeechDone, speechInput } from './openai/speech.ts'
import { fromTranscriptBytes, fromTranscription, transcriptionInput } from './openai/transcription.ts'
import { boundedRawUsage } from './raw-usage.ts'

test('OpenAI counts cached tokens as input: each token is counted once', () => {
  const usage = {
    prompt_tokens: 1000,
    completion_tokens: 300,
    total_tokens: 1300,
    prompt_tokens_details: { cached_tokens: 600, audio_tokens: 50, image_tokens: 25 },
    completion_tokens_details: {
      reasoning_tokens: 100,
      audio_tokens: 40,
      accepted_prediction_tokens: 9,
      rejected_prediction_tokens: 8,
    },
  }
  const result = fromChatCompletion({
    id: 'chatcmpl-1',
    model: 'gpt-4o-2024-08-06',
    service_tier: 'flex',
    choices: [{ finish_reason: 'stop' }],
    usage,
  })
  assert.deepEqual(result.quantities, {
    in_text: 325,
    in_audio: 50,
    in_image: 25,
    in_cache_read: 600,
    out_text: 260,
    out_reasoning: 100,
    out_audio: 40,
    pred_accepted: 9,
    pred_rejected: 8,
  })
  assert.equal(totalInputTokens(result.quantities), usage.prompt_tokens)
  assert.equal(totalOutputTokens(result.quantities), usage.completion_tokens)
  assert.deepEqual(result.modifiers, { service_tier: 'flex' })
  assert.deepEqual(result.raw_usage, usage)
  assert.deepEqual(
    [result.served_model, result.response_id, result.finish_reason],
    ['gpt-4o-2024-08-06', 'chatcmpl-1', 'stop'],
  )
})

test('Anthropic counts cached tokens beside input: nothing is subtracted', () => {
  const result = fromMessage({
    id: 'msg_1',
    model: 'claude-opus-4-6',
    stop_reason: 'end_turn',
    usage: {
      input_tokens: 10,
      cache_read_input_tokens: 5000,
      cache_creation_input_tokens: 700,
      output_tokens: 90,
      service_tier: 'batch',
      speed: 'fast',
    },
  })
  assert.deepEqual(result.quantities, { in_text: 10, in_cache_read: 5000, in_cache_write_5m: 700, out_text: 90 })
  assert.deepEqual(result.modifiers, { service_tier: 'batch', speed: 'fast', batch: true })
})

test('iterations are counted with the model that made them', () => {
  const result = fromMessage({
    model: 'claude-opus-5',
    usage: {
      input_tokens: 100,
      output_tokens: 20,
      iterations: [
        { type: 'compaction', input_tokens: 5000, output_tokens: 400 },
        { type: 'message', input_tokens: 100, output_tokens: 20 },
        { type: 'advisor_message', model: 'claude-fable-5', input_tokens: 300, output_tokens: 60 },
      ],
    },
  })
  assert.deepEqual(result.quantities, { in_text: 5400, out_text: 480 })
  assert.deepEqual(result.parts, [{ model: 'claude-fable-5', quantities: { in_text: 300, out_text: 60 } }])
})

test('however many models a message went through, its parts are bounded and every token is in them or in the rest', () => {
  const iterations = Array.from({ length: 5000 }, (_, i) => ({
    type: 'advisor_message',
    model: i < 100 ? 'claude-fable-5' : `other-${i}`,
    input_tokens: 10,
    output_tokens: 2,
  }))
  const result = fromMessage({ model: 'claude-opus-5', usage: { input_tokens: 100, output_tokens: 20, iterations } })
  assert.deepEqual(result.quantities, { in_text: 50_100, out_text: 10_020 })
  assert.equal(result.parts?.length, 64)
  const partInput = result.parts?.reduce((sum, part) => sum + (part.quantities.in_text ?? 0), 0)
  // The 100 of a model that has a part are in it; the models beyond the bound are rated as the call's own.
  assert.equal(partInput, 1000)
})

test('text that is kept of a reply is short, well-formed and without control characters', () => {
  const long = 'x'.repeat(2_000_000)
  const chat = { id: long, model: `gpt\u0000-4\n.1${long}`, service_tier: long, choices: [{ finish_reason: long }] }
  const kept = fromChatCompletion(chat)
  assert.equal(kept.served_model, `gpt-4.1${'x'.repeat(247)}`)
  for (const text of [kept.response_id, kept.finish_reason, kept.modifiers.service_tier])
    assert.equal(text?.length, 256)
  const message = fromMessage({ id: 'a\ud800b', model: '\u0007', stop_reason: long, usage: { speed: long } })
  assert.equal(message.response_id, 'a\ufffdb')
  assert.equal(message.served_model, undefined)
  assert.equal(message.modifiers.speed?.length, 256)
  const response = fromResponse({ id: long, model: long, status: long })
  for (const text of [response.response_id, response.served_model, response.finish_reason])
    assert.equal(text?.length, 256)
})

test('a Responses object is charged for tokens and for its tools', () => {
  const result = fromResponse({
    id: 'resp_1',
    model: 'gpt-5.5',
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    output: [
      { type: 'web_search_call', action: { type: 'search' } },
      { type: 'web_search_call', action: { type: 'open_page' } },
      { type: 'file_search_call' },
      { type: 'code_interpreter_call', container_id: 'c1' },
      { type: 'code_interpreter_call', container_id: 'c1' },
      { type: 'mcp_call' },
    ],
    usage: { input_tokens: 30, input_tokens_details: { cached_tokens: 10, cache_write_tokens: 5 }, output_tokens: 7 },
  })
  assert.deepEqual(result.quantities, {
    in_text: 15,
    in_cache_read: 10,
    in_cache_write_other: 5,
    out_text: 7,
    web_search_calls: 1,
    file_search_calls: 1,
    code_container_sessions: 1,
    code_container_gb_minutes: 5,
  })
  assert.equal(result.finish_reason, 'max_output_tokens')
})

test('embeddings, audio and images are counted in their own units', () => {
  assert.deepEqual(fromEmbedding({ usage: { prompt_tokens: 8, total_tokens: 8 } }).quantities, { in_text: 8 })
  assert.deepEqual(
    fromTranscription({
      usage: {
        type: 'tokens',
        input_tokens: 14,
        input_token_details: { text_tokens: 4, audio_tokens: 10 },
        output_tokens: 45,
      },
    }).quantities,
    { in_text: 4, in_audio: 10, out_text: 45 },
  )
  assert.deepEqual(fromTranscription({ usage: { type: 'duration', seconds: 61.2 } }).quantities, { audio_ms_in: 61200 })
  assert.deepEqual(fromTranscription({ text: 'x', duration: '8.47' }).quantities, { audio_ms_in: 8000 })
  assert.deepEqual(fromTranscription({ text: 'x', duration: 0.2 }).quantities, { audio_ms_in: 1000 })
  assert.deepEqual(fromSpeechDone({ usage: { input_tokens: 5, output_tokens: 90, total_tokens: 95 } }).quantities, {
    in_text: 5,
    out_audio: 90,
  })
  assert.deepEqual(fromImages({ data: [{}, {}] }, { size: '1024x1792', quality: 'hd' }), {
    quantities: { images: 2 },
    provenance: { images: 'measured' },
    modifiers: { image_size: '1024x1792', image_quality: 'hd' },
    raw_usage: null,
  })
  assert.deepEqual(
    fromImages({
      size: '1024x1024',
      usage: {
        input_tokens: 50,
        input_tokens_details: { text_tokens: 10, image_tokens: 40 },
        output_tokens: 4160,
        total_tokens: 4210,
      },
    }).quantities,
    { in_text: 10, in_image: 40, out_image: 4160 },
  )
})

test('speech that tells no usage costs the characters of its input, or its tokens by what was heard', () => {
  const characters = speechInput({ input: 'Grüße 🙂', instructionBytes: 20, perCharacter: true })
  assert.deepEqual(characters, { chars_in: 7 })
  const whole = fromSpeechBytes(characters, { audioBytes: 9_000, bytesPerSecond: 16_000, isWhole: true })
  assert.deepEqual([whole.quantities, whole.provenance], [{ chars_in: 7 }, { chars_in: 'measured' }])
  const part = fromSpeechBytes(characters, { audioBytes: 9, bytesPerSecond: 16_000, isWhole: false })
  assert.deepEqual([part.quantities, part.provenance], [{ chars_in: 7 }, { chars_in: 'estimated' }])
  const tokens = speechInput({ input: 'a'.repeat(36), instructionBytes: 36, perCharacter: false })
  const heard = fromSpeechBytes(tokens, { audioBytes: 48_000, bytesPerSecond: 48_000, isWhole: true })
  assert.deepEqual(heard.quantities, { in_text: 20, out_audio: 20 })
  assert.deepEqual(heard.provenance, { in_text: 'estimated', out_audio: 'estimated' })
})

test('a transcript that tells no usage costs the seconds of its sound, or tokens by seconds and text', () => {
  const minutes = transcriptionInput({ durationMs: 61_400, promptBytes: 50, perMinute: true })
  assert.deepEqual(minutes, { audio_ms_in: 61_000 })
  assert.deepEqual(fromTranscriptBytes(minutes, 500).quantities, { audio_ms_in: 61_000 })
  assert.deepEqual(transcriptionInput({ durationMs: 90, promptBytes: 0, perMinute: true }), { audio_ms_in: 1_000 })
  const tokens = transcriptionInput({ durationMs: 61_400, promptBytes: 36, perMinute: false })
  const usage = fromTranscriptBytes(tokens, 360)
  assert.deepEqual(usage.quantities, { in_text: 10, in_audio: 614, out_text: 100 })
  assert.ok(Object.values(usage.provenance).every(mark => mark === 'estimated'))
})

test('images cost by the piece where they are sold so, and what the reply says of them beats what was asked', () => {
  assert.deepEqual(imageInput({ images: 3, promptBytes: 90, inputImages: 1, perImage: true }), { images: 3 })
  assert.deepEqual(imageInput({ images: 3, promptBytes: 90, inputImages: 1, perImage: false }), {
    in_text: 25,
    in_image: 323,
  })
  const asked = { size: 'auto', quality: 'high' }
  const told = fromImages({ data: [{}], size: '1024x1536', quality: 'low' }, asked)
  assert.deepEqual(told.modifiers, { image_size: '1024x1536', image_quality: 'low' })
  assert.deepEqual(fromImages({ data: [{}] }, asked).modifiers, { image_size: '1024x1024', image_quality: 'high' })
})

test('a drawing of another model is a part of the reply, priced as that model', () => {
  const usage = fromImages({
    data: [{}],
    usage: { input_tokens: 10, output_tokens: 400, total_tokens: 410 },
    svg_usage: { model: 'gpt-5.4', input_tokens: 700, output_tokens: 90, reasoning_tokens: 30, total_tokens: 790 },
  })
  assert.deepEqual(usage.quantities, { in_text: 710, out_image: 400, out_text: 90 })
  assert.deepEqual(usage.parts, [{ model: 'gpt-5.4', quantities: { in_text: 700, out_text: 90 } }])
})

test('counting tokens is free, and so are batch requests that did not succeed', () => {
  assert.deepEqual(fromCountTokens({ input_tokens: 2095 }).quantities, {})
  assert.deepEqual(fromBatchResult({ custom_id: 'a', result: { type: 'expired' } }).quantities, {})
  const succeeded = fromBatchResult({
    result: { type: 'succeeded', message: { usage: { input_tokens: 3, output_tokens: 4 } } },
  })
  assert.deepEqual([succeeded.quantities, succeeded.modifiers], [{ in_text: 3, out_text: 4 }, { batch: true }])
})

test('replies of any shape are read without throwing', () => {
  const wrong: unknown[] = [
    null,
    undefined,
    7,
    'x',
    [],
    { usage: null },
    { usage: [] },
    { usage: 'x', choices: 1, output: {} },
  ]
  wrong.push({
    usage: {
      prompt_tokens: -5,
      completion_tokens: Number.NaN,
      input_tokens: '9',
      cache_creation: 4,
      iterations: [null],
    },
  })
  for (const convert of [
    fromChatCompletion,
    fromResponse,
    fromEmbedding,
    fromMessage,
    fromTranscription,
    fromImages,
    fromBatchResult,
  ])
    for (const body of wrong) assert.deepEqual(convert(body).quantities, {}, JSON.stringify(body))
})

test('tokens are estimated in whole numbers, rounded up', () => {
  assert.deepEqual(
    [0, 1, 36, 37, 3600].map(bytes => estimateTokens(bytes)),
    [0, 1, 10, 11, 1000],
  )
  assert.equal(estimateTokens(100, 20), 50)
  assert.equal(estimateInputTokens(3600, 1800), 500)
})

test('a usage object is kept up to 64 kB of JSON, and whatever its depth', () => {
  const usual = { input_tokens: 1, output_tokens: 2 }
  assert.equal(boundedRawUsage(usual), usual)
  assert.equal(boundedRawUsage(null), null)
  assert.equal(boundedRawUsage({ note: 'ü'.repeat(40_000) }), null)
  assert.equal(boundedRawUsage(JSON.parse(`${'['.repeat(500_000)}${']'.repeat(500_000)}`)), null)
})
