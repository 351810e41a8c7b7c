import type { Call } from '../call.ts'
import type { Directives } from '../directives.ts'
import { namedEvent } from '../frames.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asList, asObject, asText, type JsonObject } from '../json.ts'
import { perform } from '../perform.ts'
import { ProviderError } from '../provider-error.ts'
import { reportEarly } from '../report-usage.ts'
import { firstToolName, type Script, writeScript } from '../script.ts'
import { toEvents } from './message-events.ts'
import { type Message, messageUsage, STOP_REASON, toBlocks, toMessage } from './message-object.ts'
import { readMessagesPrompt } from './prompt.ts'

/** What a Messages request makes the model say, and how. */
export interface ComposedMessage {
  readonly message: Message
  readonly script: Script
  readonly directives: Directives
}

/** Reads a Messages request and writes its answer's script. @throws ProviderError, DirectiveError */
export function composeMessage(call: Call): ComposedMessage {
  const { body } = call
  const served = readModel(call, 'text')
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
  const script = writeScript(
    {
      ...served,
      tier: undefined,
      geo: asText(body.inference_geo) ?? null,
      choices: 1,
      limit,
      thinks: thinking === 'enabled' || thinking === 'adaptive',
      forcedTool: readForcedTool(body),
      searches: true,
    },
    prompt,
    directives,
  )
  const message: Message = {
    id: `msg_${call.id}`,
    script,
    splitsCacheWrites: !directives.has('no_split'),
    earlyUsage: reportEarly(script.metered, directives),
    tokensPerChunk: Math.max(1, directives.number('tokens_per_chunk') ?? 1),
    container: readContainer(call),
  }
  return { message, script, directives }
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
      ...toMessage(message, toBlocks(message), STOP_REASON[script.finish]),
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
