import type { Call } from '../call.ts'
import { type Frame, namedEvent } from '../frames.ts'
import { readModel, readOrders } from '../generation.ts'
import { asCount, asText } from '../json.ts'
import { perform } from '../perform.ts'
import { PromptTally } from '../prompt.ts'
import { ProviderError } from '../provider-error.ts'
import { type Script, writeScript } from '../script.ts'
import { cutText } from '../tokens.ts'

const STOP_REASON = { stop: 'stop_sequence', limit: 'max_tokens', tool: 'stop_sequence' } as const
const HUMAN = '\n\nHuman:'

/** `POST /v1/complete`, the legacy text completion: billed as any call, and no reply says what it used. */
export async function complete(call: Call): Promise<void> {
  const { body } = call
  const served = readModel(call, 'text')
  const limit = asCount(body.max_tokens_to_sample)
  if (limit === undefined || limit === 0) {
    throw new ProviderError(400, 'invalid_request_error', 'max_tokens_to_sample: Field required')
  }
  const text = asText(body.prompt)
  if (text === undefined || !text.includes(HUMAN)) {
    throw new ProviderError(400, 'invalid_request_error', 'prompt must start with "\\n\\nHuman:" turn')
  }
  const tally = new PromptTally()
  tally.addText(text)
  const prompt = { ...tally.total(), userText: text.slice(text.lastIndexOf(HUMAN)) }
  const directives = readOrders(call, prompt)
  const asked = { tier: undefined, geo: null, choices: 1, limit, thinks: false, forcedTool: undefined, searches: false }
  const script = writeScript({ ...served, ...asked }, prompt, directives)
  const id = `compl_${call.id}`
  await perform(call, directives, {
    responseId: id,
    script,
    streamed: body.stream === true,
    answer: () => toCompletion(id, script, script.text, true),
    frames: () => toEvents(id, script, Math.max(1, directives.number('tokens_per_chunk') ?? 1)),
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
          }),
        ),
      unknownEvent: namedEvent('future_thing', '{"type":"future_thing","payload":{"x":1}}'),
    },
  })
}

function toCompletion(id: string, script: Script, text: string, isLast: boolean): object {
  return {
    type: 'completion',
    id,
    completion: text,
    stop_reason: isLast ? STOP_REASON[script.finish] : null,
    model: script.servedModel,
    stop: isLast && script.finish === 'stop' ? HUMAN : null,
    log_id: id,
  }
}

function* toEvents(id: string, script: Script, tokensPerChunk: number): Generator<Frame> {
  const completion = (text: string, isLast: boolean) =>
    namedEvent('completion', JSON.stringify(toCompletion(id, script, text, isLast)))
  yield { sse: namedEvent('ping', '{"type":"ping"}'), tokens: 0 }
  for (const piece of cutText(script.text, tokensPerChunk))
    yield { sse: completion(piece.text, false), tokens: piece.tokens }
  yield { sse: completion('', true), tokens: 0, closing: true }
}
