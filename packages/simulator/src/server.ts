import { randomBytes } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { BatchShop } from './batch-shop.ts'
import type { Bill } from './bill.ts'
import type { Call, Dialect } from './call.ts'
import type { ContainerShelf } from './container-shelf.ts'
import { answerControl } from './control.ts'
import { DirectiveError } from './directives.ts'
import { type Endpoint, findEndpoint } from './endpoints.ts'
import { isObject, type JsonObject } from './json.ts'
import type { FileShelf } from './openai/file-shelf.ts'
import type { ResponseShelf } from './openai/response-shelf.ts'
import { errorOfStatus, ProviderError, sendError } from './provider-error.ts'
import { hashCredential, type RequestLog } from './request-log.ts'
import { type ClientSecrets, SECRET_PREFIX } from './sockets/client-secrets.ts'
import type { RealtimeCalls } from './sockets/realtime-calls.ts'
import { attachSockets } from './sockets/socket-server.ts'

// Imported as a module, it would load Node's own `fetch` as well.
const { createServer } = process.getBuiltinModule('node:http')

export interface SimulatorState {
  readonly bill: Bill
  readonly requests: RequestLog
  readonly attempts: Map<string, number>
  readonly batches: BatchShop
  readonly realtimeCalls: RealtimeCalls
  readonly responses: ResponseShelf
  readonly containers: ContainerShelf
  readonly files: FileShelf
  readonly clientSecrets: ClientSecrets
  readonly log: (message: string, detail: { readonly [name: string]: unknown }) => void
}

/** A credential that begins so is refused, to test what a revoked one does. */
const REFUSED_CREDENTIAL = 'sk-invalid'

/** The HTTP server of both dialects; listens to nothing yet. */
export function buildServer(state: SimulatorState): { server: Server; endSockets: () => void } {
  const run = randomBytes(4).toString('hex')
  let count = 0
  const nextId = (): string => {
    count += 1
    return `req_sim_${run}_${count}`
  }
  const server = createServer((request, reply) => {
    const id = nextId()
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks)
      void answer(state, id, request, body, reply)
    })
    request.on('error', () => reply.destroy())
  })
  server.keepAliveTimeout = 120_000
  server.requestTimeout = 0
  return { server, endSockets: attachSockets(server, state, nextId) }
}

async function answer(
  state: SimulatorState,
  id: string,
  request: IncomingMessage,
  body: Buffer,
  reply: ServerResponse,
): Promise<void> {
  const target = request.url ?? '/'
  const url = new URL(target, 'http://simulator')
  if (url.pathname.startsWith('/simulator/')) return answerControl(request, reply, url, state)
  const method = request.method ?? 'GET'
  state.requests.add(
    { id, received_at_ms: Date.now(), method, target, http_version: request.httpVersion, body },
    request.rawHeaders,
  )
  if (url.pathname === '/' && (method === 'HEAD' || method === 'GET')) {
    reply.writeHead(200, { 'content-type': 'text/plain', 'x-simulator': 'sluice' })
    reply.end('This is a simulator of a language model provider. It is no model and its bill is play money.\n')
    return
  }
  const [asked, path] = splitPrefix(url.pathname)
  const speaksAnthropic = request.headers['anthropic-version'] !== undefined
  const { dialect, endpoint } = findEndpoint(method, path, asked, speaksAnthropic)
  const credential = readCredential(request)
  const clientSecret = credential === undefined ? undefined : state.clientSecrets.find(credential)
  const credentialSha256 =
    clientSecret?.credentialSha256 ?? (credential === undefined ? null : hashCredential(credential))
  const record = endpoint?.onBill
    ? state.bill.open({
        billId: id,
        credentialSha256,
        dialect,
        endpoint: endpoint.path,
      })
    : undefined
  const { headers } = request
  const rest = { id, dialect, path, query: url.searchParams, headers, reply, record, bytes: body }
  const { bill, attempts, batches, realtimeCalls, responses, containers, files, clientSecrets } = state
  const call: Call = {
    ...rest,
    body: {},
    bill,
    attempts,
    batches,
    realtimeCalls,
    responses,
    containers,
    files,
    clientSecrets,
    clientSecret,
    credentialSha256: credentialSha256 ?? '',
  }
  try {
    checkCall(dialect, endpoint, path, credential)
    // An ephemeral credential opens realtime sessions and nothing else.
    if (credential?.startsWith(SECRET_PREFIX) && (!clientSecret || path !== '/v1/realtime/calls'))
      throw errorOfStatus(dialect, 401, 'The ephemeral credential has expired, or is not for this path.')
    await endpoint?.answer({ ...call, body: readsBody(endpoint, method) ? parseBody(dialect, body) : {} })
  } catch (error) {
    if (error instanceof ProviderError) return sendError(call, error)
    if (error instanceof DirectiveError) return sendError(call, errorOfStatus(dialect, 400, error.message))
    state.log('the simulator failed', { err: error, id })
    sendError(call, errorOfStatus(dialect, 500, 'The simulator itself failed; its log says why.'))
  }
}

function checkCall(dialect: Dialect, endpoint: Endpoint | undefined, path: string, credential: string | undefined) {
  if (endpoint === undefined) throw errorOfStatus(dialect, 404, `The simulator serves no ${path} with this method.`)
  if (credential === undefined) throw errorOfStatus(dialect, 401, 'The request carries no credential.')
  if (credential.startsWith(REFUSED_CREDENTIAL)) throw errorOfStatus(dialect, 401, 'The credential is not valid.')
}

function readsBody(endpoint: Endpoint | undefined, method: string): boolean {
  return method === 'POST' && endpoint?.bodyless !== true && endpoint?.form !== true
}

function splitPrefix(path: string): [Dialect | undefined, string] {
  if (path.startsWith('/openai/')) return ['openai', path.slice('/openai'.length)]
  if (path.startsWith('/anthropic/')) return ['anthropic', path.slice('/anthropic'.length)]
  return [undefined, path]
}

function readCredential({ headers }: IncomingMessage): string | undefined {
  const apiKey = headers['x-api-key']
  if (typeof apiKey === 'string' && apiKey !== '') return apiKey
  const bearer = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '')
  return bearer?.[1]
}

function parseBody(dialect: Dialect, body: Buffer): JsonObject {
  try {
    const parsed: unknown = JSON.parse(body.toString())
    if (isObject(parsed)) return parsed
  } catch {
    // Falls through to the same answer as JSON that is no object.
  }
  throw errorOfStatus(dialect, 400, 'The request body is not a JSON object.')
}
