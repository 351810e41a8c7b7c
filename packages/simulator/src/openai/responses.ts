import { type Call, sendJson } from '../call.ts'
import type { Directives } from '../directives.ts'
import { namedEvent } from '../frames.ts'
import { type GeneratingCall, readModel, readOrders } from '../generation.ts'
import { asCount, asList, asObject, asText, isObject, type JsonObject } from '../json.ts'
import { type Performance, perform } from '../perform.ts'
import type { Prompt } from '../prompt.ts'
import { ProviderError } from '../provider-error.ts'
import { reportEarly, reportUsage } from '../report-usage.ts'
import { firstToolName, writeScript } from '../script.ts'
import { BackgroundRun } from './background-run.ts'
import { workHosted } from './hosted-tools.ts'
import { sequencedEvent, toEvents } from './response-events.ts'
import { type Answer, endStatus, toItems, toResponse } from './response-object.ts'
import { readResponsesPrompt } from './responses-prompt.ts'
import { sendEvents } from './stored-responses.ts'

/** `POST /v1/responses` */
export async function responses(call: Call): Promise<void> {
  const { answer, directives, performance } = planResponse(call)
  const { body } = call
  const reported = reportUsage(answer.script.metered, directives)
  if (body.background !== true) {
    shelve(call, answer, () => performance.answer(reported))
    await perform(call, directives, performance)
    return
  }
  if (body.store === false)
    throw new ProviderError(400, 'invalid_request_error', 'Background responses need "store": true.')
  const run = new BackgroundRun(call, answer)
  shelve(call, answer, () => run.object(), run)
  const queued = run.object()
  void run.play(performance.frames(reported), directives, performance.trouble)
  // The work goes on, whether anyone still waits for the answer or not.
  const answerDelayMs = directives.number('answer_delay_ms')
  if (answerDelayMs !== undefined) await new Promise(resolve => setTimeout(resolve, answerDelayMs).unref())
  if (body.stream === true) await sendEvents(call, run.events(-1))
  else sendJson(call, 200, queued)
}

function shelve(call: Call, { id, body }: Answer, object: () => object, run?: BackgroundRun): void {
  if (body.store === false) return
  call.responses.add({ id, credentialSha256: call.credentialSha256, object, run, input: toInputItems(id, body) })
}

function toInputItems(id: string, { input }: JsonObject): JsonObject[] {
  const entries =
    typeof input === 'string'
      ? [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: input }] }]
      : input
  return asList(entries).map((entry, index) => ({ id: `item_${id}_${index}`, ...asObject(entry) }))
}

/** What came before a turn in its conversation: charged again, as far as it goes from the cache. */
export interface ResponseHistory {
  readonly tokens: number
  readonly cachedTokens: number
  /** What its user has said last, and how many answers of tools have followed: a turn that brings only these goes on from there. */
  readonly userText: string
  readonly toolAnswers: number
}

function afterHistory(prompt: Prompt, history: ResponseHistory | undefined): Prompt {
  if (history === undefined) return prompt
  const tokens = prompt.tokens + history.tokens
  if (prompt.userText !== '') return { ...prompt, tokens }
  return { ...prompt, tokens, userText: history.userText, toolAnswers: history.toolAnswers + prompt.toolAnswers }
}

/** Reads a request for a response and fixes everything that will be said. Throws the dialect's own errors. */
export function planResponse(
  call: GeneratingCall,
  history?: ResponseHistory,
): {
  readonly answer: Answer
  readonly directives: Directives
  readonly performance: Performance
  readonly prompt: Prompt
} {
  const { body } = call
  const served = readModel(call, 'text')
  if (body.input === undefined) throw new ProviderError(400, 'invalid_request_error', 'The request has no input.')
  const prompt = afterHistory(readResponsesPrompt(body), history)
  const directives = readOrders(call, prompt)
  const effort = asObject(body.reasoning).effort
  const written = writeScript(
    {
      ...served,
      tier: asText(body.service_tier),
      geo: null,
      choices: 1,
      limit: asCount(body.max_output_tokens),
      thinks: effort !== undefined && effort !== null && effort !== 'none',
      forcedTool: readForcedTool(body),
      searches: true,
      searchesPreview: asList(body.tools).some(tool => asText(asObject(tool).type)?.startsWith('web_search_preview')),
    },
    prompt,
    history === undefined ? directives : withCached(directives, history.cachedTokens),
  )
  const id = `resp_${call.id}`
  const hosted = workHosted(call, id, written.searches, directives)
  const script = { ...written, metered: { ...written.metered, ...hosted.used }, beside: hosted.beside }
  const answer: Answer = {
    id,
    hosted,
    createdAt: Math.floor(Date.now() / 1000),
    body,
    script,
    tokensPerChunk: Math.max(1, directives.number('tokens_per_chunk') ?? 1),
    earlyUsage: reportEarly(script.metered, directives),
  }
  const sequence = { next: 0 }
  const performance: Performance = {
    responseId: answer.id,
    script,
    streamed: body.stream === true,
    answer: reported => toResponse(answer, endStatus(script), toItems(answer), reported),
    frames: reported => toEvents(answer, sequence, reported),
    trouble: {
      errorEvent: (kind, generated) => {
        const code = directives.text('error_code') ?? (kind === 'overloaded' ? 'server_is_overloaded' : 'server_error')
        const message = 'The simulated engine failed midway.'
        const usage = {
          ...script.metered,
          output: generated,
          output_thinking: Math.min(script.metered.output_thinking, generated),
        }
        const failed = toResponse(answer, 'failed', [], generated > 0 ? usage : undefined, { code, message })
        return sequencedEvent(sequence, 'response.failed', { response: failed })
      },
      unknownEvent: namedEvent('response.future_thing.delta', '{"type":"response.future_thing.delta","delta":{"x":1}}'),
    },
  }
  return { answer, directives, performance, prompt }
}

function withCached(directives: Directives, cachedTokens: number): Directives {
  return { ...directives, number: name => directives.number(name) ?? (name === 'cached' ? cachedTokens : undefined) }
}

function readForcedTool(body: JsonObject): string | undefined {
  const choice = body.tool_choice
  if (choice === 'required') return firstToolName(body.tools)
  return isObject(choice) ? asText(choice.name) : undefined
}
