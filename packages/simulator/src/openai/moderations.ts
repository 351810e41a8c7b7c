import { type Call, sendJson } from '../call.ts'
import { NOTHING_METERED } from '../cost.ts'
import { asList } from '../json.ts'
import { ProviderError } from '../provider-error.ts'

const CATEGORIES = ['harassment', 'hate', 'illicit', 'self-harm', 'sexual', 'violence']

/** `POST /v1/moderations`: free; flags what holds the word "violence". */
export function moderate(call: Call): void {
  const { input, model } = call.body
  if (input === undefined) throw new ProviderError(400, 'invalid_request_error', 'The request has no input.')
  if (call.record !== undefined) {
    call.record.http_status = 200
    call.bill.close(call.record, 'completed', NOTHING_METERED)
  }
  const texts = typeof input === 'string' ? [input] : asList(input)
  sendJson(call, 200, {
    id: `modr-${call.id}`,
    model: model ?? 'omni-moderation-latest',
    results: texts.map(text => {
      const flagged = JSON.stringify(text).includes('violence')
      return {
        flagged,
        categories: Object.fromEntries(CATEGORIES.map(name => [name, flagged && name === 'violence'])),
        category_scores: Object.fromEntries(CATEGORIES.map(name => [name, flagged && name === 'violence' ? 0.9 : 0])),
      }
    }),
  })
}
