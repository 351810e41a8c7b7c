import type { Call } from '../call.ts'
import { readModel, readOrders } from '../generation.ts'
import { asText } from '../json.ts'
import { perform } from '../perform.ts'
import { ProviderError } from '../provider-error.ts'
import { writeScript } from '../script.ts'
import { responsesUsage } from './response-object.ts'
import { readResponsesPrompt } from './responses-prompt.ts'

/** `POST /v1/responses/compact`: a conversation made shorter, billed as a generation; never streamed. */
export async function compactResponses(call: Call): Promise<void> {
  const { body } = call
  const served = readModel(call, 'text')
  if (body.input === undefined && body.previous_response_id === undefined) {
    throw new ProviderError(400, 'invalid_request_error', 'The request has no input.')
  }
  const prompt = readResponsesPrompt(body)
  const directives = readOrders(call, prompt)
  const script = writeScript(
    {
      ...served,
      tier: asText(body.service_tier),
      geo: null,
      choices: 1,
      limit: undefined,
      thinks: false,
      forcedTool: undefined,
      searches: false,
    },
    prompt,
    directives,
  )
  const id = `resp_${call.id}`
  await perform(call, directives, {
    responseId: id,
    script,
    streamed: false,
    answer: reported => ({
      id,
      object: 'response.compaction',
      created_at: Math.floor(Date.now() / 1000),
      output: [{ id: `cmp_${id}`, type: 'compaction', encrypted_content: Buffer.from(script.text).toString('base64') }],
      ...(reported === undefined ? {} : { usage: responsesUsage(reported) }),
    }),
    // Played for the time they take only: this endpoint has no events.
    frames: () => [{ sse: '', tokens: script.metered.output }],
    trouble: { errorEvent: () => '', unknownEvent: '' },
  })
}
