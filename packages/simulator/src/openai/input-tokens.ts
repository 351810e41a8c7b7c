import { type Call, sendJson } from '../call.ts'
import { NOTHING_METERED } from '../cost.ts'
import { readModel, readOrders } from '../generation.ts'
import { readResponsesPrompt } from './responses-prompt.ts'

/** `POST /v1/responses/input_tokens`: free, and the same number a call with this body is billed for. */
export function countResponseTokens(call: Call): void {
  readModel(call, 'text')
  const prompt = readResponsesPrompt(call.body)
  const directives = readOrders(call, prompt)
  if (call.record !== undefined) {
    call.record.http_status = 200
    call.bill.close(call.record, 'completed', NOTHING_METERED)
  }
  sendJson(call, 200, {
    object: 'response.input_tokens',
    input_tokens: directives.number('input_tokens') ?? prompt.tokens,
  })
}
