import type { Batch, BatchItem, Verdict } from '../batch-shop.ts'
import { type Call, sendJson } from '../call.ts'
import { DirectiveError, readDirectives } from '../directives.ts'
import { asObject, asText, type JsonObject } from '../json.ts'
import type { Charged } from '../production.ts'
import { errorBody, errorOfStatus, ProviderError } from '../provider-error.ts'
import { planChat, readChatPrompt } from './chat-completions.ts'
import { planEmbedding } from './embeddings.ts'
import { planResponse } from './responses.ts'
import { readResponsesPrompt } from './responses-prompt.ts'

const mount = '/v1/batches/'

/** What a batch may be for, and how one of its requests is answered. */
const planners: { readonly [path: string]: (call: Call) => Planned } = {
  '/v1/chat/completions': call => fromPerformance(planChat(call).performance),
  '/v1/responses': call => fromPerformance(planResponse(call).performance),
  '/v1/embeddings': planEmbedding,
}

interface Planned {
  readonly responseId: string | null
  readonly script: Omit<Charged, 'tier'>
  readonly answer: object
}

function fromPerformance({ responseId, script, answer }: ReturnType<typeof planChat>['performance']): Planned {
  return { responseId, script, answer: answer(script.metered) }
}

/** `POST /v1/batches` */
export function createBatch(call: Call): void {
  const { body } = call
  const endpoint = asText(body.endpoint) ?? ''
  const file = call.files.find(asText(body.input_file_id) ?? '', call.credentialSha256)
  if (file === undefined) throw new ProviderError(400, 'invalid_request_error', 'The input file does not exist.')
  if (planners[endpoint] === undefined || body.completion_window !== '24h') {
    throw new ProviderError(
      400,
      'invalid_request_error',
      'The batch needs a known endpoint and completion_window "24h".',
    )
  }
  const requests = file.bytes
    .toString()
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => asObject(JSON.parse(line)))
  const first = requests[0]
  const batch = call.batches.open({
    id: `batch_${call.id}`,
    dialect: 'openai',
    credentialSha256: call.credentialSha256,
    durationMs: (first && directivesOf(first).number('batch_ms')) ?? 0,
    items: requests.map((request, index) => itemOf(call, endpoint, request, index)),
    fields: { endpoint, input_file_id: file.id, completion_window: '24h', metadata: body.metadata ?? null },
  })
  batch.advance(Date.now())
  sendJson(call, 200, toObject(call, batch))
}

/** `GET /v1/batches`, newest first */
export function listBatches(call: Call): void {
  const limit = Math.min(Number(call.query.get('limit') ?? 20), 100)
  const all = call.batches.list('openai', call.credentialSha256)
  const after = call.query.get('after')
  const from = after === null ? 0 : all.findIndex(batch => batch.order.id === after) + 1
  const page = all.slice(from, from + limit)
  sendJson(call, 200, {
    object: 'list',
    data: page.map(batch => toObject(call, batch)),
    first_id: page[0]?.order.id ?? null,
    last_id: page.at(-1)?.order.id ?? null,
    has_more: from + limit < all.length,
  })
}

/** `GET /v1/batches/{id}` */
export function readBatch(call: Call): void {
  sendJson(call, 200, toObject(call, find(call).batch))
}

/** `POST /v1/batches/{id}/cancel` */
export function cancelBatch(call: Call): void {
  const { batch, rest } = find(call)
  if (rest !== '/cancel') throw errorOfStatus('openai', 404, `The simulator serves no ${call.path}.`)
  batch.cancel(Date.now())
  sendJson(call, 200, toObject(call, batch))
}

function find(call: Call): { batch: Batch; rest: string } {
  const [id = '', ...rest] = call.path.slice(mount.length).split('/')
  const batch = call.batches.find(id, 'openai', call.credentialSha256)
  if (batch === undefined) throw errorOfStatus('openai', 404, `No batch found with id '${id}'.`)
  return { batch, rest: rest.length === 0 ? '' : `/${rest.join('/')}` }
}

/** Results by batch: made into files once, when somebody first sees the batch ended. */
const resultFiles = new WeakMap<Batch, { output: string | null; errors: string | null }>()

function filesOf(call: Call, batch: Batch): { output: string | null; errors: string | null } {
  const known = resultFiles.get(batch)
  if (known !== undefined) return known
  const keep = (name: string, is: (verdict: Verdict) => boolean): string | null => {
    const lines = batch.results.filter(({ verdict }) => is(verdict)).map(({ line }) => `${line}\n`)
    if (lines.length === 0) return null
    const { id, credentialSha256 } = batch.order
    const file = {
      id: `file-${name}-${id}`,
      credentialSha256,
      filename: 'output.jsonl',
      purpose: 'batch_output',
      createdAt: Math.floor(Date.now() / 1000),
      bytes: Buffer.from(lines.reverse().join('')),
    }
    call.files.add(file)
    return file.id
  }
  const made = {
    output: keep('output', verdict => verdict === 'succeeded'),
    errors: keep('errors', verdict => verdict === 'errored' || verdict === 'expired'),
  }
  resultFiles.set(batch, made)
  return made
}

function toObject(call: Call, batch: Batch): object {
  const { order, counts } = batch
  const seconds = (ms: number | undefined) => (ms === undefined ? null : Math.floor(ms / 1000))
  const ended = batch.endedAtMs !== undefined
  const files = ended ? filesOf(call, batch) : { output: null, errors: null }
  const cancelled = batch.cancelledAtMs !== undefined
  const expired = counts.expired > 0
  const endedAs = cancelled ? 'cancelled' : expired ? 'expired' : 'completed'
  return {
    id: order.id,
    object: 'batch',
    ...order.fields,
    errors: null,
    status: ended ? endedAs : cancelled ? 'cancelling' : 'in_progress',
    output_file_id: files.output,
    error_file_id: files.errors,
    created_at: seconds(batch.createdAtMs),
    in_progress_at: seconds(batch.createdAtMs),
    expires_at: seconds(batch.createdAtMs + 24 * 60 * 60 * 1000),
    completed_at: ended && endedAs === 'completed' ? seconds(batch.endedAtMs) : null,
    expired_at: ended && endedAs === 'expired' ? seconds(batch.endedAtMs) : null,
    cancelled_at: ended && endedAs === 'cancelled' ? seconds(batch.endedAtMs) : null,
    request_counts: {
      total: order.items.length,
      completed: counts.succeeded,
      failed: counts.errored + counts.expired,
    },
  }
}

function directivesOf(request: JsonObject) {
  const body = asObject(request.body)
  const text = body.messages === undefined ? '' : readChatPrompt(body).userText
  const input = typeof body.input === 'string' ? body.input : ''
  const said = body.messages === undefined && input === '' ? readResponsesPrompt(body).userText : text + input
  return readDirectives({}, said)
}

/** One request: answered and billed as a call of its own, at batch rates, when its turn comes. */
function itemOf(call: Call, endpoint: string, request: JsonObject, index: number): BatchItem {
  const customId = asText(request.custom_id) ?? ''
  const id = `${call.id}_${index}`
  const ordered = directivesOf(request).text('result')
  const line = (response: object | null, error: object | null) =>
    JSON.stringify({ id: `batch_req_${id}`, custom_id: customId, response, error })
  const failed = (error: ProviderError) => ({
    verdict: 'errored' as const,
    line: line({ status_code: error.status, request_id: id, body: errorBody('openai', error, id) }, null),
  })
  return {
    customId,
    ordered: ordered as BatchItem['ordered'],
    work: verdict => {
      if (verdict === 'errored') return failed(errorOfStatus('openai', 500, 'The simulated engine failed.'))
      if (verdict !== 'succeeded') {
        const code = verdict === 'expired' ? 'batch_expired' : 'batch_cancelled'
        return { verdict, line: line(null, { code, message: 'This request was not worked on.' }) }
      }
      try {
        if (request.url !== endpoint) throw errorOfStatus('openai', 400, 'The URL is not that of the batch.')
        const plan = planners[endpoint]
        if (plan === undefined) throw errorOfStatus('openai', 404, 'There is no such endpoint.')
        const { script, responseId, answer } = plan({ ...call, id, body: asObject(request.body), record: undefined })
        const { credentialSha256 } = call
        const record = call.bill.open({ billId: id, credentialSha256, dialect: 'openai', endpoint: '/v1/batches' })
        Object.assign(record, { model: script.model, served_tier: 'batch', response_id: responseId, http_status: 200 })
        record.generated_output_tokens = script.metered.output
        call.bill.close(record, 'completed', script.metered, { ...script, tier: 'batch' }, script.beside)
        return { verdict, line: line({ status_code: 200, request_id: id, body: answer }, null) }
      } catch (error) {
        if (error instanceof ProviderError) return failed(error)
        if (error instanceof DirectiveError) return failed(errorOfStatus('openai', 400, error.message))
        throw error
      }
    },
  }
}
