import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { ChatAnthropic } from '@langchain/anthropic'
import { ChatOpenAI } from '@langchain/openai'
import { generateText, type LanguageModel, streamText } from 'ai'
import OpenAI from 'openai'
import type { Setup } from './client-calls.ts'

/** A client at a prompt, with the patience that it has by itself. */
export interface Talk extends Setup {
  prompt: string
  fetch: typeof fetch
}

/** What a client made of an answer that raised nothing. */
export interface Told {
  text: string
  /** Why it ended, as the client says it. */
  finish: string | undefined
}

/** One kind of client software, as a program uses it. */
export interface Talker {
  name: string
  /** It obeys `x-should-retry: false`: what is spent is 429 for it, 402 for all others. */
  isOfficial: boolean
  /** How it names an output limit that was reached. */
  atLimit: string
  plain: (talk: Talk) => Promise<Told>
  streamed: (talk: Talk) => Promise<Told>
}

const maxTokens = 4_000

const openaiChat: Talker = {
  name: 'openai, chat',
  isOfficial: true,
  atLimit: 'length',
  async plain(talk) {
    const { choices } = await openai(talk).chat.completions.create(chatOf(talk))
    return { text: choices[0]?.message.content ?? '', finish: choices[0]?.finish_reason }
  },
  async streamed(talk) {
    const told: Told = { text: '', finish: undefined }
    for await (const { choices } of await openai(talk).chat.completions.create({ ...chatOf(talk), stream: true })) {
      told.text += choices[0]?.delta.content ?? ''
      told.finish = choices[0]?.finish_reason ?? told.finish
    }
    return told
  },
}

const openaiResponses: Talker = {
  name: 'openai, responses',
  isOfficial: true,
  atLimit: 'max_output_tokens',
  async plain(talk) {
    const made = await openai(talk).responses.create({ model: 'gpt-5.4', input: talk.prompt })
    return { text: made.output_text, finish: made.incomplete_details?.reason }
  },
  async streamed(talk) {
    const told: Told = { text: '', finish: undefined }
    for await (const event of await openai(talk).responses.create({
      model: 'gpt-5.4',
      input: talk.prompt,
      stream: true,
    })) {
      if (event.type === 'response.output_text.delta') told.text += event.delta
      if (event.type === 'response.incomplete') told.finish = event.response.incomplete_details?.reason
      // It raises nothing by itself where a response has failed: that is for its user to see.
      if (event.type === 'response.failed') throw new Error(event.response.error?.message)
    }
    return told
  },
}

const anthropicMessages: Talker = {
  name: '@anthropic-ai/sdk',
  isOfficial: true,
  atLimit: 'max_tokens',
  async plain(talk) {
    return messageOf(await anthropic(talk).messages.create({ ...messagesOf(talk), stream: false }))
  },
  async streamed(talk) {
    return messageOf(await anthropic(talk).messages.stream(messagesOf(talk)).finalMessage())
  },
}

function openai({ openaiBaseUrl: baseURL, apiKey, fetch }: Talk): OpenAI {
  return new OpenAI({ baseURL, apiKey, fetch, maxRetries: 1 })
}

function anthropic({ anthropicBaseUrl: baseURL, apiKey, fetch }: Talk): Anthropic {
  return new Anthropic({ baseURL, apiKey, fetch, maxRetries: 1 })
}

const chatOf = ({ prompt }: Talk) => ({
  model: 'gpt-5.4',
  max_completion_tokens: maxTokens,
  messages: [{ role: 'user' as const, content: prompt }],
})
const messagesOf = ({ prompt }: Talk) => ({
  model: 'claude-sonnet-4-6',
  max_tokens: maxTokens,
  messages: [{ role: 'user' as const, content: prompt }],
})

function messageOf({ content, stop_reason }: Anthropic.Message): Told {
  return { text: content[0]?.type === 'text' ? content[0].text : '', finish: stop_reason ?? undefined }
}

const langchain = (
  about: Pick<Talker, 'name' | 'isOfficial' | 'atLimit'>,
  modelOf: (talk: Talk) => ChatOpenAI | ChatAnthropic,
  finishOf: (metadata: Record<string, unknown>) => unknown,
): Talker => ({
  ...about,
  async plain(talk) {
    const message = await modelOf(talk).invoke(talk.prompt)
    return {
      text: message.text,
      finish: finishOf({ ...message.additional_kwargs, ...message.response_metadata }) as string,
    }
  },
  async streamed(talk) {
    const told: Told = { text: '', finish: undefined }
    for await (const chunk of await modelOf(talk).stream(talk.prompt)) {
      told.text += chunk.text
      const finish = finishOf({ ...chunk.additional_kwargs, ...chunk.response_metadata })
      if (typeof finish === 'string') told.finish = finish
    }
    return told
  },
})

const aiSdk = (name: string, modelOf: (talk: Talk) => LanguageModel): Talker => ({
  name,
  isOfficial: false,
  atLimit: 'length',
  async plain(talk) {
    const { text, finishReason } = await generateText({ model: modelOf(talk), prompt: talk.prompt, maxRetries: 1 })
    return { text, finish: finishReason }
  },
  async streamed(talk) {
    const told: Told = { text: '', finish: undefined }
    const { fullStream } = streamText({
      model: modelOf(talk),
      prompt: talk.prompt,
      maxRetries: 1,
      onError: () => undefined,
    })
    for await (const part of fullStream) {
      if (part.type === 'error') throw part.error
      if (part.type === 'text-delta') told.text += part.text
      if (part.type === 'finish') told.finish = part.finishReason
    }
    return told
  },
})

/** A program that knows the dialect and no more of us. */
const raw: Talker = {
  name: 'an unknown client',
  isOfficial: false,
  atLimit: 'length',
  async plain(talk) {
    const body = (await (await post(talk, chatOf(talk))).json()) as OpenAI.ChatCompletion
    return { text: body.choices[0]?.message.content ?? '', finish: body.choices[0]?.finish_reason }
  },
  async streamed(talk) {
    const told: Told = { text: '', finish: undefined }
    const answer = await post(talk, { ...chatOf(talk), stream: true })
    for (const line of (await answer.text()).split('\n')) {
      if (!line.startsWith('data: {')) continue
      const chunk = JSON.parse(line.slice(6)) as OpenAI.ChatCompletionChunk & { error?: { message: string } }
      if (chunk.error) throw new Error(chunk.error.message)
      told.text += chunk.choices[0]?.delta.content ?? ''
      told.finish = chunk.choices[0]?.finish_reason ?? told.finish
    }
    return told
  },
}

async function post({ openaiBaseUrl, apiKey, fetch }: Talk, body: object): Promise<Response> {
  const answer = await fetch(`${openaiBaseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(await answer.text())
  return answer
}

/** Every kind of client that people use. */
export const talkers: readonly Talker[] = [
  openaiChat,
  openaiResponses,
  anthropicMessages,
  langchain(
    { name: 'LangChain, OpenAI', isOfficial: false, atLimit: 'length' },
    ({ openaiBaseUrl: baseURL, apiKey, fetch }) =>
      new ChatOpenAI({ model: 'gpt-5.4', apiKey, maxTokens, maxRetries: 1, configuration: { baseURL, fetch } }),
    ({ finish_reason }) => finish_reason,
  ),
  langchain(
    // It goes by the name of the SDK that it is made with, and obeys as that does.
    { name: 'LangChain, Anthropic', isOfficial: true, atLimit: 'max_tokens' },
    ({ anthropicBaseUrl: anthropicApiUrl, apiKey, fetch }) =>
      new ChatAnthropic({
        model: 'claude-sonnet-4-6',
        apiKey,
        maxTokens,
        maxRetries: 1,
        anthropicApiUrl,
        clientOptions: { fetch },
      }),
    ({ stop_reason }) => stop_reason,
  ),
  aiSdk('AI SDK, OpenAI', ({ openaiBaseUrl: baseURL, apiKey, fetch }) =>
    createOpenAI({ baseURL, apiKey, fetch }).chat('gpt-5.4'),
  ),
  aiSdk('AI SDK, OpenAI responses', ({ openaiBaseUrl: baseURL, apiKey, fetch }) =>
    createOpenAI({ baseURL, apiKey, fetch }).responses('gpt-5.4'),
  ),
  aiSdk('AI SDK, Anthropic', ({ anthropicBaseUrl, apiKey, fetch }) =>
    createAnthropic({ baseURL: `${anthropicBaseUrl}/v1`, apiKey, fetch })('claude-sonnet-4-6'),
  ),
  raw,
]
