import { type Call, replyHeaders, sendJson } from '../call.ts'
import { readForm } from '../media/form.ts'
import { ProviderError } from '../provider-error.ts'
import type { ShelvedFile } from './file-shelf.ts'

const PREFIX = '/v1/files/'

/** `POST /v1/files`: free; a form with `purpose` and `file`. */
export function uploadFile(call: Call): void {
  const form = readForm(call)
  const [upload] = form.files
  const purpose = form.text('purpose')
  if (upload === undefined || purpose === undefined) {
    throw new ProviderError(400, 'invalid_request_error', 'A file and its purpose are required.')
  }
  const file: ShelvedFile = {
    id: `file-${call.id}`,
    credentialSha256: call.credentialSha256,
    filename: 'upload',
    purpose,
    createdAt: Math.floor(Date.now() / 1000),
    bytes: upload.bytes,
  }
  call.files.add(file)
  sendJson(call, 200, toObject(file))
}

/** `GET /v1/files` */
export function listFiles(call: Call): void {
  sendJson(call, 200, { object: 'list', data: call.files.of(call.credentialSha256).map(toObject), has_more: false })
}

/** `GET /v1/files/{id}` and `GET /v1/files/{id}/content` */
export function readFile(call: Call): void {
  const content = /^([^/]+)\/content$/.exec(call.path.slice(PREFIX.length))?.[1]
  const file = findFile(call, content ?? call.path.slice(PREFIX.length))
  if (content === undefined) {
    sendJson(call, 200, toObject(file))
    return
  }
  call.reply.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': file.bytes.length,
    ...replyHeaders(call),
  })
  call.reply.end(file.bytes)
}

/** `DELETE /v1/files/{id}` */
export function deleteFile(call: Call): void {
  const { id } = findFile(call, call.path.slice(PREFIX.length))
  call.files.delete(id)
  sendJson(call, 200, { id, object: 'file', deleted: true })
}

function findFile(call: Call, id: string): ShelvedFile {
  const found = call.files.find(id, call.credentialSha256)
  if (found === undefined) throw new ProviderError(404, 'invalid_request_error', `No such File object: ${id}`)
  return found
}

function toObject({ id, filename, purpose, createdAt, bytes }: ShelvedFile): object {
  return { id, object: 'file', bytes: bytes.length, created_at: createdAt, filename, purpose, status: 'processed' }
}
