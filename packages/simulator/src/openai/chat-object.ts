import type { Metered } from '../cost.ts'
import type { Frame } from '../frames.ts'
import type { Script } from '../script.ts'
import { cutText } from '../tokens.ts'
import { spokenDeltas, spokenMessage, type Voice } from './chat-voice.ts'

/** A chat completion, before it is told whole or in chunks. */
export interface Chat {
  readonly id: string
  readonly created: number
  readonly script: Script
  /** Its text is spoken. */
  readonly voice: Voice | undefined
  readonly includeUsage: boolean
  readonly obfuscate: boolean
  readonly tokensPerChunk: number
  /** A usage chunk that stands before the last one and tells something else. */
  readonly earlyUsage: Metered | undefined
}

const FINISH = { stop: 'stop', limit: 'length', tool: 'tool_calls' } as const

/** `prompt_tokens` includes sound and what came from the cache; `completion_tokens` includes reasoning and sound. */
function chatUsage(metered: Metered): object {
  const written = metered.input_to_cache_5m + metered.input_to_cache_1h
  const input = metered.input_fresh + metered.input_from_cache + written + metered.audio_input
  const output = metered.output + metered.audio_output
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: {
      cached_tokens: metered.input_from_cache,
      audio_tokens: metered.audio_input,
      ...(written > 0 ? { cache_write_tokens: written } : {}),
    },
    completion_tokens_details: {
      reasoning_tokens: metered.output_thinking,
      audio_tokens: metered.audio_output,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

/** The completion object. */
export function toCompletion({ id, created, script, voice }: Chat, reported: Metered | undefined): object {
  const isSpoken = voice !== undefined && script.text !== ''
  const choice = (index: number) => ({
    index,
    message: {
      role: 'assistant',
      content: isSpoken || (script.text === '' && script.tools.length > 0) ? null : script.text,
      refusal: null,
      annotations: [],
      ...(isSpoken ? { audio: spokenMessage(voice, script.text, { id: audioId(id, index), created }) } : {}),
      ...(script.tools.length > 0 ? { tool_calls: script.tools.map((tool, at) => toolCall(id, index, tool, at)) } : {}),
    },
    logprobs: null,
    finish_reason: FINISH[script.finish],
  })
  return {
    id,
    object: 'chat.completion',
    created,
    model: script.servedModel,
    choices: Array.from({ length: script.choices }, (_, index) => choice(index)),
    ...(reported === undefined ? {} : { usage: chatUsage(reported) }),
    service_tier: script.tier,
    system_fingerprint: 'fp_simulator',
  }
}

function audioId(id: string, choice: number): string {
  return `audio_${id}_${choice}`
}

function toolCall(id: string, choice: number, tool: { name: string; arguments: string }, at: number): object {
  return {
    id: `call_${id}_${choice}_${at}`,
    type: 'function',
    function: { name: tool.name, arguments: tool.arguments },
  }
}

/** The completion as the chunks of its stream. */
export function* toChunks(chat: Chat, reported: Metered | undefined): Generator<Frame> {
  const { id, created, script, includeUsage } = chat
  const head = `data: {"id":"${id}","object":"chat.completion.chunk","created":${created},"model":${JSON.stringify(script.servedModel)},"service_tier":"${script.tier}","system_fingerprint":"fp_simulator",`
  const tail = includeUsage ? ',"usage":null}\n\n' : '}\n\n'
  const obfuscated = chat.obfuscate ? ',"obfuscation":"sim0"' : ''
  const chunk = (index: number, delta: string, finish: string | null, tokens = 0): Frame => ({
    sse: `${head}"choices":[{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish === null ? 'null' : `"${finish}"`}}]${obfuscated}${tail}`,
    tokens,
  })

  for (let index = 0; index < script.choices; index += 1) {
    const first = chunk(index, '{"role":"assistant","content":"","refusal":null}', null)
    yield index === 0 ? { ...first, tools: { web_searches: script.searches } } : first
    for (const piece of cutText(script.thinking, chat.tokensPerChunk)) {
      yield { sse: '', tokens: piece.tokens, thinking: true }
    }
  }
  for (let index = 0; index < script.choices; index += 1) {
    const pieces = cutText(script.text, chat.tokensPerChunk)
    if (chat.voice !== undefined && script.text !== '') {
      for (const { audio, tokens, sound } of spokenDeltas(chat.voice, pieces, { id: audioId(id, index), created }))
        yield { ...chunk(index, JSON.stringify({ audio }), null, tokens), sound }
    } else {
      for (const piece of pieces) yield chunk(index, `{"content":${JSON.stringify(piece.text)}}`, null, piece.tokens)
    }
    for (const [at, tool] of script.tools.entries()) {
      const opening = { index: at, ...toolCall(id, index, { name: tool.name, arguments: '' }, at) }
      yield chunk(index, JSON.stringify({ tool_calls: [opening] }), null)
      for (const piece of cutText(tool.arguments, chat.tokensPerChunk)) {
        const delta = { tool_calls: [{ index: at, function: { arguments: piece.text } }] }
        yield chunk(index, JSON.stringify(delta), null, piece.tokens)
      }
    }
    yield { ...chunk(index, '{}', FINISH[script.finish]), ...(index === 0 ? { closing: true } : {}) }
  }
  for (const usage of includeUsage ? [chat.earlyUsage, reported] : []) {
    if (usage === undefined) continue
    yield { sse: `${head}"choices":[],"usage":${JSON.stringify(chatUsage(usage))}}\n\n`, tokens: 0, closing: true }
  }
  yield { sse: 'data: [DONE]\n\n', tokens: 0, closing: true }
}
