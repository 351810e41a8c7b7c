import { type Call, replyHeaders, sendJson } from '../call.ts'
import { ProviderError } from '../provider-error.ts'
import type { Shelved } from './response-shelf.ts'

const PREFIX = '/v1/responses/'

/** `GET /v1/responses/{id}`, with `stream=true` the events of a background one again, and `GET …/{id}/input_items` */
export async function readStoredResponse(call: Call): Promise<void> {
  const items = /^([^/]+)\/input_items$/.exec(call.path.slice(PREFIX.length))
  if (items !== null) return listInput(call, findShelved(call, items[1] ?? ''))
  const found = findShelved(call, call.path.slice(PREFIX.length))
  if (call.query.get('stream') !== 'true') return sendJson(call, 200, found.object())
  if (found.run === undefined) {
    throw new ProviderError(400, 'invalid_request_error', 'Only responses created in the background can be streamed.')
  }
  await sendEvents(call, found.run.events(Number(call.query.get('starting_after') ?? -1)))
}

/** `POST /v1/responses/{id}/cancel` */
export function cancelResponse(call: Call): void {
  const id = /^([^/]+)\/cancel$/.exec(call.path.slice(PREFIX.length))?.[1]
  const found = findShelved(call, id ?? '')
  if (found.run === undefined) {
    throw new ProviderError(400, 'invalid_request_error', 'Only responses created in the background can be cancelled.')
  }
  found.run.cancel()
  sendJson(call, 200, found.object())
}

/** `DELETE /v1/responses/{id}` */
export function deleteResponse(call: Call): void {
  const found = findShelved(call, call.path.slice(PREFIX.length))
  found.run?.cancel()
  call.responses.delete(found.id)
  sendJson(call, 200, { id: found.id, object: 'response', deleted: true })
}

/** Sends events as they come, and stops when the client has gone. */
export async function sendEvents(call: Call, events: AsyncIterable<string>): Promise<void> {
  const { reply } = call
  reply.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', ...replyHeaders(call) })
  reply.flushHeaders()
  for await (const event of events) {
    if (reply.destroyed) return
    reply.write(event)
  }
  reply.end()
}

function listInput(call: Call, { input }: Shelved): void {
  const [first, last] = [input[0]?.id ?? null, input.at(-1)?.id ?? null]
  sendJson(call, 200, { object: 'list', data: input, first_id: first, last_id: last, has_more: false })
}

function findShelved(call: Call, id: string): Shelved {
  const found = call.responses.find(id, call.credentialSha256)
  if (found === undefined) {
    throw new ProviderError(404, 'invalid_request_error', `Response with id '${id}' not found.`)
  }
  return found
}
