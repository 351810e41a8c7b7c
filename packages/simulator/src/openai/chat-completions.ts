import type { Call } from '../call.ts'
import type { Directives } from '../directives.ts'
import { dataEvent } from '../frames.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asList, asObject, asText, isObject, type JsonObject } from '../json.ts'
import { type Performance, perform } from '../perform.ts'
import { type Prompt, PromptTally } from '../prompt.ts'
import { ProviderError } from '../provider-error.ts'
import { reportEarly } from '../report-usage.ts'
import { firstToolName, writeScript } from '../script.ts'
import { type Chat, toChunks, toCompletion } from './chat-object.ts'
import { readVoice, SPOKEN_PER_WRITTEN } from './chat-voice.ts'

/** `POST /v1/chat/completions` */
export async function chatCompletions(call: Call): Promise<void> {
  const { directives, performance } = planChat(call)
  await perform(call, directives, performance)
}

/** Reads a request for a completion and fixes everything that will be said. Throws the dialect's own errors. */
export function planChat(call: Call): { readonly directives: Directives; readonly performance: Performance } {
  const { body } = call
  const served = readModel(call, 'text')
  if (!Array.isArray(body.messages) || body.messages.length === 0) {
    throw new ProviderError(400, 'invalid_request_error', 'The request has no messages.')
  }
  const prompt = readChatPrompt(body)
  const voice = readVoice(body, served.price)
  const directives = readOrders(call, prompt)
  const script = writeScript(
    {
      ...served,
      tier: asText(body.service_tier),
      geo: null,
      choices: asCount(body.n) || 1,
      limit: asCount(body.max_completion_tokens) ?? asCount(body.max_tokens),
      thinks: body.reasoning_effort !== undefined && body.reasoning_effort !== 'none',
      ...(voice !== undefined && { spokenPerWritten: SPOKEN_PER_WRITTEN }),
      forcedTool: readForcedTool(body),
      searches: false,
    },
    prompt,
    directives,
  )
  const options = asObject(body.stream_options)
  const chat: Chat = {
    id: `chatcmpl-${call.id}`,
    created: Math.floor(Date.now() / 1000),
    script,
    voice,
    includeUsage: options.include_usage === true,
    obfuscate: options.include_obfuscation === true,
    tokensPerChunk: Math.max(1, directives.number('tokens_per_chunk') ?? 1),
    earlyUsage: reportEarly(script.metered, directives),
  }
  const performance: Performance = {
    responseId: chat.id,
    script,
    streamed: body.stream === true,
    answer: reported => toCompletion(chat, reported),
    frames: reported => toChunks(chat, reported),
    trouble: {
      errorEvent: kind =>
        dataEvent(
          JSON.stringify({
            error: {
              message:
                kind === 'overloaded' ? 'The simulated engine is overloaded.' : 'The simulated engine failed midway.',
              type: 'server_error',
              param: null,
              code: directives.text('error_code') ?? (kind === 'overloaded' ? 'server_overloaded' : null),
            },
          }),
        ),
      unknownEvent: 'event: chat.completion.future\ndata: {"object":"chat.completion.future","choices":[]}\n\n',
    },
  }
  return { directives, performance }
}

/** Counts a chat request. */
export function readChatPrompt(body: JsonObject): Prompt {
  const tally = new PromptTally()
  tally.addJson(body.tools)
  for (const message of asList(body.messages)) {
    const { role, content, tool_calls } = asObject(message)
    if (role === 'tool' || role === 'function') tally.toolAnswered()
    tally.addMessage(asText(role), content)
    tally.addJson(tool_calls)
  }
  return tally.total()
}

function readForcedTool(body: JsonObject): string | undefined {
  const choice = body.tool_choice
  if (choice === 'required') return firstToolName(body.tools)
  return isObject(choice) ? asText(asObject(choice.function).name) : undefined
}
