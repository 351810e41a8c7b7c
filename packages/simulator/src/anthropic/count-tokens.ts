import type { Call } from '../call.ts'
import { readModel, readOrders } from '../generation.ts'
import { playFree } from '../play-free.ts'
import { readMessagesPrompt } from './prompt.ts'

/** `POST /v1/messages/count_tokens`: free, and the same number a call with this body is billed for. */
export async function countMessageTokens(call: Call): Promise<void> {
  const served = readModel(call, 'text')
  const prompt = readMessagesPrompt(call.body)
  const directives = readOrders(call, prompt)
  await playFree(call, directives, served, { input_tokens: directives.number('input_tokens') ?? prompt.tokens })
}
