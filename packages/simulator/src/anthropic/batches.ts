import { setTimeout as delay } from 'node:timers/promises'
import type { Batch, BatchItem, Verdict } from '../batch-shop.ts'
import { type Call, replyHeaders, sendJson } from '../call.ts'
import { DirectiveError, readDirectives } from '../directives.ts'
import { asList, asObject, asText, type JsonObject } from '../json.ts'
import { errorBody, errorOfStatus, ProviderError } from '../provider-error.ts'
import { messageUsage, stopOf, toBlocks, toMessage } from './message-object.ts'
import { composeMessage } from './messages.ts'
import { readMessagesPrompt } from './prompt.ts'

const mount = '/v1/messages/batches/'
const maxRequests = 100_000
const resultNames = new Set(['errored', 'canceled', 'expired'])

/** `POST /v1/messages/batches` */
export async function createMessageBatch(call: Call): Promise<void> {
  const requests = asList(call.body.requests).map(asObject)
  if (requests.length === 0) throw new ProviderError(400, 'invalid_request_error', 'requests: Field required')
  if (requests.length > maxRequests) {
    throw new ProviderError(400, 'invalid_request_error', `requests: at most ${maxRequests} requests a batch`)
  }
  const ids = new Set<string>()
  for (const [index, request] of requests.entries()) {
    const id = asText(request.custom_id) ?? ''
    if (!/^[a-zA-Z0-9_-]{1,64}$/.test(id)) {
      throw new ProviderError(400, 'invalid_request_error', `requests.${index}.custom_id: Invalid custom_id`)
    }
    if (ids.has(id)) throw new ProviderError(400, 'invalid_request_error', `requests.${index}: custom_id is not unique`)
    ids.add(id)
  }
  const first = readDirectives(call.headers, readMessagesPrompt(asObject(requests[0]?.params)).userText)
  const batch = call.batches.open({
    id: `msgbatch_${call.id}`,
    dialect: 'anthropic',
    credentialSha256: call.credentialSha256,
    durationMs: first.number('batch_ms') ?? 0,
    items: requests.map((request, index) => itemOf(call, request, index)),
    fields: {},
  })
  // The batch exists while its maker still waits for the answer.
  await delay(first.number('first_delay_ms') ?? 0)
  batch.advance(Date.now())
  sendJson(call, 200, toObject(call, batch))
}

/** `GET /v1/messages/batches`, newest first */
export function listMessageBatches(call: Call): void {
  const limit = Math.min(Number(call.query.get('limit') ?? 20), 1000)
  const all = call.batches.list('anthropic', call.credentialSha256)
  const before = call.query.get('before_id')
  const after = call.query.get('after_id')
  const placeOf = (id: string) => all.findIndex(batch => batch.order.id === id)
  const from = after === null ? 0 : placeOf(after) + 1
  const page =
    before === null ? all.slice(from, from + limit) : all.slice(Math.max(0, placeOf(before) - limit), placeOf(before))
  const data = page.map(batch => toObject(call, batch))
  sendJson(call, 200, {
    data,
    has_more: before === null ? from + limit < all.length : placeOf(before) > limit,
    first_id: page[0]?.order.id ?? null,
    last_id: page.at(-1)?.order.id ?? null,
  })
}

/** `GET /v1/messages/batches/{id}` and `…/results` */
export function readMessageBatch(call: Call): void {
  const { batch, rest } = find(call)
  if (rest === '') {
    sendJson(call, 200, toObject(call, batch))
    return
  }
  if (rest !== '/results') throw errorOfStatus('anthropic', 404, `The simulator serves no ${call.path}.`)
  if (batch.endedAtMs === undefined) {
    throw new ProviderError(404, 'not_found_error', 'The results of this batch are not available yet.')
  }
  call.reply.writeHead(200, { 'content-type': 'application/x-jsonl', ...replyHeaders(call) })
  // Not in the order of the requests: providers promise none.
  for (const { line } of [...batch.results].reverse()) call.reply.write(`${line}\n`)
  call.reply.end()
}

/** `POST /v1/messages/batches/{id}/cancel` */
export function cancelMessageBatch(call: Call): void {
  const { batch, rest } = find(call)
  if (rest !== '/cancel') throw errorOfStatus('anthropic', 404, `The simulator serves no ${call.path}.`)
  batch.cancel(Date.now())
  sendJson(call, 200, toObject(call, batch))
}

/** `DELETE /v1/messages/batches/{id}` */
export function deleteMessageBatch(call: Call): void {
  const { batch } = find(call)
  if (batch.endedAtMs === undefined) {
    throw new ProviderError(400, 'invalid_request_error', 'A batch that is being processed cannot be deleted.')
  }
  call.batches.delete(batch.order.id)
  sendJson(call, 200, { id: batch.order.id, type: 'message_batch_deleted' })
}

function find(call: Call): { batch: Batch; rest: string } {
  const [id = '', ...rest] = call.path.slice(mount.length).split('/')
  const batch = call.batches.find(id, 'anthropic', call.credentialSha256)
  if (batch === undefined) throw new ProviderError(404, 'not_found_error', `Message batch not found: ${id}`)
  return { batch, rest: rest.length === 0 ? '' : `/${rest.join('/')}` }
}

function toObject(call: Call, batch: Batch): object {
  const { order, counts } = batch
  const ended = batch.endedAtMs !== undefined
  const time = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString())
  const none = { succeeded: 0, errored: 0, canceled: 0, expired: 0 }
  return {
    id: order.id,
    type: 'message_batch',
    processing_status: ended ? 'ended' : batch.cancelledAtMs === undefined ? 'in_progress' : 'canceling',
    request_counts: ended ? { processing: 0, ...counts } : { processing: order.items.length, ...none },
    ended_at: time(batch.endedAtMs),
    created_at: time(batch.createdAtMs),
    expires_at: time(batch.createdAtMs + 24 * 60 * 60 * 1000),
    archived_at: null,
    cancel_initiated_at: time(batch.cancelledAtMs),
    results_url: ended ? `http://${call.headers.host}${mount}${order.id}/results` : null,
  }
}

/** One request: composed and billed as a message of its own, at batch rates, when its turn comes. */
function itemOf(call: Call, request: JsonObject, index: number): BatchItem {
  const customId = asText(request.custom_id) ?? ''
  const params = asObject(request.params)
  const id = `${call.id}_${index}`
  const ordered = readDirectives({}, readMessagesPrompt(params).userText).text('result')
  if (ordered !== undefined && !resultNames.has(ordered)) {
    throw new DirectiveError(`The simulator knows no result "${ordered}" of a batch request.`)
  }
  return {
    customId,
    ordered: ordered as BatchItem['ordered'],
    work: verdict => {
      const tell = (told: Verdict, more: object) => ({
        verdict: told,
        line: JSON.stringify({ custom_id: customId, result: { type: told, ...more } }),
      })
      const failed = (error: ProviderError) => tell('errored', { error: errorBody('anthropic', error, id) })
      if (verdict === 'errored') return failed(errorOfStatus('anthropic', 500, 'The simulated engine failed.'))
      if (verdict !== 'succeeded') return tell(verdict, {})
      try {
        const { message, script } = composeMessage({ ...call, id, body: params, record: undefined })
        const record = call.bill.open({
          billId: id,
          credentialSha256: call.credentialSha256,
          dialect: 'anthropic',
          endpoint: '/v1/messages/batches',
        })
        Object.assign(record, { model: script.model, served_tier: 'batch', response_id: message.id, http_status: 200 })
        record.generated_output_tokens = script.metered.output
        call.bill.close(record, 'completed', script.metered, { ...script, tier: 'batch' }, script.beside)
        const usage = { ...messageUsage(message, script.metered), service_tier: 'batch' }
        const whole = toMessage(message, toBlocks(message), stopOf(message))
        return tell('succeeded', { message: { ...whole, usage } })
      } catch (error) {
        if (error instanceof ProviderError) return failed(error)
        if (error instanceof DirectiveError) return failed(errorOfStatus('anthropic', 400, error.message))
        throw error
      }
    },
  }
}
