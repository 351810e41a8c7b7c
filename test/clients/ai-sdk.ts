import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import {
  embedMany,
  generateImage,
  experimental_generateSpeech as generateSpeech,
  generateText,
  type LanguageModel,
  streamText,
  type TextStreamPart,
  type ToolSet,
  experimental_transcribe as transcribe,
} from 'ai'
import { type ClientCalls, promptOf, type Setup } from './client-calls.ts'
import { silence } from './openai-media.ts'

const client = 'AI SDK'

function openai({ openaiBaseUrl, apiKey, headers }: Setup) {
  return createOpenAI({ baseURL: openaiBaseUrl, apiKey, headers })
}

function anthropic({ anthropicBaseUrl, apiKey, headers }: Setup) {
  return createAnthropic({ baseURL: `${anthropicBaseUrl}/v1`, apiKey, headers })
}

function textCalls(endpoint: string, orders: string, modelOf: (setup: Setup) => LanguageModel): ClientCalls {
  return {
    client,
    endpoint,
    orders,
    plain: (setup, asked, abortSignal) =>
      generateText({ model: modelOf(setup), prompt: promptOf(asked), maxRetries: 0, abortSignal }),
    streamed: async (setup, asked, abortSignal) =>
      raising(
        streamText({
          model: modelOf(setup),
          prompt: promptOf(asked),
          maxRetries: 0,
          abortSignal,
          onError: () => undefined,
        }).fullStream,
      ),
  }
}

/** The parts of a stream, of which an error is one: it is thrown. */
async function* raising(parts: AsyncIterable<TextStreamPart<ToolSet>>): AsyncGenerator {
  for await (const part of parts) {
    if (part.type === 'error') throw part.error
    yield part
  }
}

/** Vercel's AI SDK. */
export const aiSdk: readonly ClientCalls[] = [
  textCalls('chat.completions', 'cached=8 reasoning=16', setup => openai(setup).chat('gpt-5.4')),
  textCalls('responses', 'cached=8 reasoning=16', setup => openai(setup).responses('gpt-5.4-mini')),
  textCalls('messages', 'cached=8 cache_write=5 reasoning=16', setup => anthropic(setup)('claude-sonnet-4-6')),
  {
    client,
    endpoint: 'embeddings',
    plain: (setup, orders, abortSignal) =>
      embedMany({
        model: openai(setup).embedding('text-embedding-3-small'),
        values: ['one', promptOf(orders)],
        maxRetries: 0,
        abortSignal,
      }),
  },
  {
    client,
    endpoint: 'audio.speech',
    plain: (setup, orders, abortSignal) =>
      generateSpeech({
        model: openai(setup).speech('gpt-4o-mini-tts'),
        text: promptOf(orders),
        maxRetries: 0,
        abortSignal,
      }),
  },
  {
    client,
    endpoint: 'audio.transcriptions',
    plain: (setup, orders, abortSignal) =>
      transcribe({
        model: openai(setup).transcription('gpt-4o-transcribe'),
        audio: silence(12),
        providerOptions: { openai: { prompt: promptOf(orders) } },
        maxRetries: 0,
        abortSignal,
      }),
  },
  {
    client,
    endpoint: 'images.generations',
    plain: (setup, orders, abortSignal) =>
      generateImage({
        model: openai(setup).image('gpt-image-1.5'),
        prompt: promptOf(orders),
        size: '1024x1024',
        maxRetries: 0,
        abortSignal,
      }),
  },
]
