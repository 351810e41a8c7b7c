import type { Call } from '../call.ts'
import { NO_TOOLS, NOTHING_METERED } from '../cost.ts'
import type { Directives } from '../directives.ts'
import { namedEvent } from '../frames.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asList, asObject, asText, type JsonObject } from '../json.ts'
import { perform } from '../perform.ts'
import { ProviderError } from '../provider-error.ts'
import { reportEarly } from '../report-usage.ts'
import { firstToolName, type Script, writeScript } from '../script.ts'
import { readCredit, reprice } from './fallback-credit.ts'
import { toEvents } from './message-events.ts'
import { type Message, messageUsage, stopOf, toBlocks, toMessage } from './message-object.ts'
import { readMessagesPrompt } from './prompt.ts'
import { declinedTurn, readTurns } from './turns.ts'

/** What a Messages request makes the model say, and how. */
export interface ComposedMessage {
  readonly message: Message
  readonly script: Script
  readonly directives: Directives
}

const SILENT = { ...NO_TOOLS, output: 0, output_thinking: 0 }

/** Reads a Messages request and writes its answer's script. @throws ProviderError, DirectiveError */
export function composeMessage(call: Call): ComposedMessage {
  const { body } = call
  const asked = readModel(call, 'text')
  const limit = asCount(body.max_tokens)
  if (limit === undefined || limit === 0) {
    throw new ProviderError(400, 'invalid_request_error', 'max_tokens: Field required')
  }
  if (!Array.isArray(body.messages) || body.messages.length === 0) {
    throw new ProviderError(400, 'invalid_request_error', 'messages: at least one message is required')
  }
  const prompt = readMessagesPrompt(body)
  const directives = readOrders(call, prompt)
  const thinking = asObject(body.thinking).type
  const declined = directives.number('declined')
  const served = declined === undefined ? asked : readFallback(call)
  const written = writeScript(
    {
      ...served,
      tier: undefined,
      geo: asText(body.inference_geo) ?? null,
      speed: asText(body.speed) ?? null,
      choices: 1,
      limit,
      thinks: thinking === 'enabled' || thinking === 'adaptive',
      forcedTool: readForcedTool(body),
      searches: true,
    },
    prompt,
    directives,
  )
  const credit = readCredit(body)
  const declines = directives.number('refuse') === 1
  const metered = declines ? { ...written.metered, ...SILENT } : written.metered
  const input = metered.input_fresh + metered.input_from_cache + metered.input_to_cache_5m + metered.input_to_cache_1h
  const turns = [
    ...(declined === undefined
      ? []
      : [declinedTurn({ ...asked, servedModel: asked.price.snapshots[0] ?? asked.name }, input, declined)]),
    ...readTurns({ ...served, servedModel: written.servedModel }, directives),
  ]
  const script: Script = {
    ...written,
    ...(declines ? { text: '', thinking: '', tools: [], searches: 0 } : {}),
    // Who declines without a word charges nothing for what was asked.
    metered: declines ? NOTHING_METERED : reprice(metered, credit),
    beside: turns.flatMap(({ beside }) => beside ?? []),
  }
  const message: Message = {
    turns,
    credit,
    uncredited: metered,
    declines,
    id: `msg_${call.id}`,
    script,
    splitsCacheWrites: !directives.has('no_split'),
    earlyUsage: reportEarly(script.metered, directives),
    tokensPerChunk: Math.max(1, directives.number('tokens_per_chunk') ?? 1),
    container: readContainer(call),
  }
  return { message, script, directives }
}

/** The model that answers where the one that was asked declines: the first of the request's `fallbacks`. */
function readFallback(call: Call): ReturnType<typeof readModel> {
  const [first] = asList(call.body.fallbacks)
  return readModel({ ...call, body: { model: asObject(first).model } }, 'text')
}

/** The one the request names, or one that is made for it. */
function readContainer({ id, body }: Call): Message['container'] {
  const runsCode = asList(body.tools).some(tool => asText(asObject(tool).type)?.startsWith('code_execution') === true)
  if (!runsCode) return null
  const named = asText(body.container) ?? asText(asObject(body.container).id)
  return { id: named ?? `container_${id}`, expires_at: new Date(Date.now() + 3_600_000).toISOString() }
}

/** `POST /v1/messages` */
export async function messages(call: Call): Promise<void> {
  const { body } = call
  const { message, script, directives } = composeMessage(call)
  await perform(call, directives, {
    responseId: message.id,
    script,
    streamed: body.stream === true,
    answer: reported => ({
      ...toMessage(message, toBlocks(message), stopOf(message)),
      ...(reported === undefined ? {} : { usage: messageUsage(message, reported) }),
    }),
    frames: reported => toEvents(message, reported),
    trouble: {
      errorEvent: kind =>
        namedEvent(
          'error',
          JSON.stringify({
            type: 'error',
            error: {
              type: directives.text('error_type') ?? (kind === 'overloaded' ? 'overloaded_error' : 'api_error'),
              message: kind === 'overloaded' ? 'Overloaded' : 'The simulated engine failed midway.',
            },
            request_id: call.id,
          }),
        ),
      unknownEvent: namedEvent('future_thing', '{"type":"future_thing","payload":{"x":1}}'),
    },
  })
}

function readForcedTool(body: JsonObject): string | undefined {
  const choice = asObject(body.tool_choice)
  if (choice.type === 'any') return firstToolName(body.tools)
  return choice.type === 'tool' ? asText(choice.name) : undefined
}
