import type { Call } from '../call.ts'
import { readModel, readOrders } from '../generation.ts'
import { playFree } from '../play-free.ts'
import { readResponsesPrompt } from './responses-prompt.ts'

/** `POST /v1/responses/input_tokens`: free, and the same number a call with this body is billed for. */
export async function countResponseTokens(call: Call): Promise<void> {
  const served = readModel(call, 'text')
  const prompt = readResponsesPrompt(call.body)
  const directives = readOrders(call, prompt)
  await playFree(call, directives, served, {
    object: 'response.input_tokens',
    input_tokens: directives.number('input_tokens') ?? prompt.tokens,
  })
}
